import { posix } from 'node:path';
import { SkiffError } from '../../base/errors.ts';
import type { Linux, SpecMount } from '../../oci/runtime-spec.ts';
import type { Mount } from '../types.ts';
import type { SpecInput } from './input.ts';
import { hasCgroupNamespace } from './namespaces.ts';

type Input = Pick<SpecInput, 'config' | 'sandbox' | 'sandboxFiles' | 'host' | 'features'>;

/**
 * All mounts of a container in the order of mounting: the kernel's file
 * systems, then files of the sandbox and the mounts asked for, parents before
 * what lies below them. A mount that was asked for takes the place of a
 * default one at the same path, and one on /dev that of the kernel's file
 * systems below it; the pod's shared memory stays.
 */
export function mountsChapter(input: Input): SpecMount[] {
  const asked = input.config.mounts.map((mount) => bindMount(mount, input));
  const taken = new Set(asked.map((mount) => mount.destination));
  const free = (mount: SpecMount) => !taken.has(mount.destination);
  const kernel = kernelMounts(input)
    .filter(free)
    .filter((mount) => !(taken.has('/dev') && mount.destination.startsWith('/dev/')));
  return [...kernel, ...byDepth([...sandboxMounts(input).filter(free), ...asked])];
}

/** Propagation of the root mount that the mounts inside need; undefined = the runtime's own, private. */
export function rootfsPropagation(mounts: readonly Mount[]): Linux['rootfsPropagation'] {
  if (mounts.some((mount) => mount.propagation === 'bidirectional')) return 'rshared';
  return mounts.some((mount) => mount.propagation === 'host_to_container') ? 'rslave' : undefined;
}

function kernelMounts(input: Input): SpecMount[] {
  const access = input.config.security.privileged ? 'rw' : 'ro';
  const safe = ['nosuid', 'noexec', 'nodev'];
  return [
    virtual('/proc', 'proc', safe),
    virtual('/dev', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
    virtual('/dev/pts', 'devpts', [
      'nosuid',
      'noexec',
      'newinstance',
      'ptmxmode=0666',
      'mode=0620',
      // The group `tty` has this number everywhere.
      'gid=5',
    ]),
    virtual('/dev/mqueue', 'mqueue', safe),
    virtual('/sys', 'sysfs', [...safe, access]),
    virtual('/sys/fs/cgroup', 'cgroup', [...safe, 'relatime', access, ...sharedCgroupOptions(input)]),
  ];
}

/** Without a cgroup namespace the mount shares the host's superblock: options that are not repeated would be taken from the host. */
function sharedCgroupOptions(input: Input): readonly string[] {
  return hasCgroupNamespace(input) ? [] : input.host.cgroupMountOptions;
}

function virtual(destination: string, type: string, options: string[]): SpecMount {
  return { destination, type, source: type, options };
}

function sandboxMounts(input: Input): SpecMount[] {
  const { resolvConf, hosts, hostname, shm } = input.sandboxFiles;
  const access = input.config.security.readonlyRootfs ? 'ro' : 'rw';
  // A pod in the host's IPC namespace also shares its POSIX shared memory.
  const sharedMemory = input.sandbox.namespaces.ipc === null ? '/dev/shm' : shm;
  const files: [destination: string, source: string, access: string][] = [
    ['/etc/resolv.conf', resolvConf, access],
    ['/etc/hosts', hosts, access],
    ['/etc/hostname', hostname, access],
    ['/dev/shm', sharedMemory, 'rw'],
  ];
  return files
    .filter(([, source]) => source !== '')
    .map(([destination, source, mode]) => ({
      destination,
      type: 'bind',
      source,
      options: ['rbind', 'rprivate', mode],
    }));
}

const PROPAGATION = { private: 'rprivate', host_to_container: 'rslave', bidirectional: 'rshared' } as const;

function bindMount(mount: Mount, input: Input): SpecMount {
  return {
    destination: posix.resolve('/', mount.containerPath),
    type: 'bind',
    source: mount.hostPath,
    options: ['rbind', PROPAGATION[mount.propagation], accessOption(mount, input)],
  };
}

function accessOption(mount: Mount, input: Input): string {
  if (!mount.recursiveReadonly) return mount.readonly ? 'ro' : 'rw';
  const refuse = (code: 'invalid_argument' | 'failed_precondition', why: string) =>
    new SkiffError(code, `mount ${mount.containerPath} recursively read-only: ${why}`);
  if (!mount.readonly) throw refuse('invalid_argument', 'readonly must be set as well');
  if (mount.propagation !== 'private')
    throw refuse('invalid_argument', `propagation must be private, not ${mount.propagation}`);
  // The kubelet knows the first word by name (ErrRROUnsupported of cri-api).
  if (!(input.features.mountOptions ?? []).includes('rro'))
    throw refuse('failed_precondition', 'RROUnsupported: the runtime handler lacks the mount option rro');
  return 'rro';
}

/** By number of path elements, else in the order given. */
function byDepth(mounts: SpecMount[]): SpecMount[] {
  const depth = (mount: SpecMount) => mount.destination.split('/').filter((part) => part !== '').length;
  return mounts.toSorted((a, b) => depth(a) - depth(b));
}
