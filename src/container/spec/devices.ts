import { lstat, readdir, realpath } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { errnoOf, SkiffError } from '../../base/errors.ts';
import type { DeviceRule, LinuxDevice } from '../../oci/runtime-spec.ts';
import type { Device } from '../types.ts';
import { capabilitiesOfMask } from './capabilities.ts';
import type { SpecInput } from './input.ts';

/** Directories of /dev that are mounts of their own or belong to other managers. */
const SKIPPED_DIRECTORIES = new Set(['pts', 'shm', 'fd', 'mqueue', '.lxc', '.lxd-mounts', '.udev']);

/** Device nodes to make and rules of the device cgroup. The OCI runtimes add null, zero, tty and their like themselves. */
export interface DevicesChapter {
  devices: LinuxDevice[];
  rules: DeviceRule[];
  warnings: string[];
}

type Input = Pick<SpecInput, 'config' | 'host' | 'features' | 'tolerateMissingControllers'>;

/**
 * The devices of a container: those that it names, a directory standing for
 * all below it, and for a privileged one all of the host's /dev. Everything
 * else is denied.
 */
export async function devicesChapter(input: Input): Promise<DevicesChapter> {
  const { config } = input;
  const named = (await Promise.all(config.devices.map(namedDevice))).flat();
  const devices = named.map(({ device }) => device);
  if (config.security.privileged) {
    const taken = new Set(devices.map((device) => device.path));
    const host = (await devicesBelow('/dev', '/dev')).filter((device) => !taken.has(device.path));
    return { devices: [...devices, ...host], rules: [{ allow: true, access: 'rwm' }], warnings: [] };
  }
  const allowed = named.map(({ device, access }) => ruleFor(device, access));
  if (lacksFilter(input)) return { devices, rules: allowed, warnings: [NO_FILTER] };
  return { devices, rules: [{ allow: false, access: 'rwm' }, ...allowed], warnings: [] };
}

const NO_FILTER =
  'the device filter is left out: this daemon lacks CAP_SYS_RESOURCE, and the runtime handler cannot load the filter without it';

/**
 * crun raises RLIMIT_MEMLOCK to load its device filter and gives up where it
 * may not, unless no rule denies anything. runc, known by its annotation in
 * `features`, does without.
 */
function lacksFilter({ host, features, tolerateMissingControllers }: Input): boolean {
  return (
    tolerateMissingControllers &&
    features.annotations?.['org.opencontainers.runc.version'] === undefined &&
    !capabilitiesOfMask(host.capabilityMask).includes('CAP_SYS_RESOURCE')
  );
}

async function namedDevice(wanted: Device): Promise<{ device: LinuxDevice; access: string }[]> {
  const access = wanted.permissions === '' ? 'rwm' : wanted.permissions;
  const target = posix.resolve('/', wanted.containerPath || wanted.hostPath);
  try {
    const source = await realpath(wanted.hostPath);
    const stats = await lstat(source);
    const devices = stats.isDirectory()
      ? await devicesBelow(source, target)
      : [await deviceAt(source, target)].filter((device) => device !== undefined);
    if (devices.length === 0) throw new SkiffError('invalid_argument', 'there is no device node');
    return devices.map((device) => ({ device, access }));
  } catch (cause) {
    throw SkiffError.from(cause, `add device ${wanted.hostPath}`, 'invalid_argument');
  }
}

async function devicesBelow(directory: string, target: string): Promise<LinuxDevice[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const found = await Promise.all(
    entries.map(async (entry) => {
      const source = join(directory, entry.name);
      const path = posix.join(target, entry.name);
      if (entry.isDirectory())
        return SKIPPED_DIRECTORIES.has(entry.name) ? [] : unlessGone(devicesBelow(source, path), []);
      // The container's console is its own terminal, made by the runtime.
      if (entry.name === 'console' || !(entry.isBlockDevice() || entry.isCharacterDevice())) return [];
      const device = await unlessGone(deviceAt(source, path), undefined);
      return device === undefined ? [] : [device];
    }),
  );
  return found.flat();
}

/** Devices come and go while /dev is walked. */
async function unlessGone<T>(work: Promise<T>, gone: T): Promise<T> {
  return work.catch((cause: unknown) => {
    if (errnoOf(cause) === 'ENOENT') return gone;
    throw cause;
  });
}

async function deviceAt(source: string, path: string): Promise<LinuxDevice | undefined> {
  const stats = await lstat(source);
  const type = stats.isBlockDevice() ? 'b' : stats.isCharacterDevice() ? 'c' : undefined;
  if (type === undefined) return undefined;
  const { major, minor } = deviceNumbers(stats.rdev);
  return { path, type, major, minor, fileMode: stats.mode & 0o7777, uid: stats.uid, gid: stats.gid };
}

/** The kernel's dev_t in the 64-bit form of glibc's gnu_dev_major(3). */
function deviceNumbers(rdev: number): { major: number; minor: number } {
  const bits = BigInt(rdev);
  return {
    major: Number(((bits >> 8n) & 0xfffn) | ((bits >> 32n) & 0xfffff000n)),
    minor: Number((bits & 0xffn) | ((bits >> 12n) & 0xffffff00n)),
  };
}

function ruleFor(device: LinuxDevice, access: string): DeviceRule {
  const type = device.type === 'b' ? 'b' : 'c';
  return { allow: true, type, major: device.major, minor: device.minor, access };
}
