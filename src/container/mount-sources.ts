import { mkdir, realpath } from 'node:fs/promises';
import { posix } from 'node:path';
import { errnoOf, SkiffError } from '../base/errors.ts';
import { mountPropagation } from '../os/mount.ts';
import type { Mount } from './types.ts';

/** How mounts below a mount point pass between namespaces (mount_namespaces(7)). */
export type PropagationOf = (path: string) => Promise<'shared' | 'slave' | 'private'>;

/**
 * CRI mounts with each host path made real: symbolic links resolved, an absent
 * path made as a directory (as both peers do, for hostPath volumes without a
 * type) unless `reject` lists it. A mount that passes mounts on must have a
 * source that takes part in that.
 */
export async function resolveMounts(
  mounts: readonly Mount[],
  options: { reject: readonly string[]; propagationOf?: PropagationOf },
): Promise<Mount[]> {
  const { reject, propagationOf = mountPropagation } = options;
  return Promise.all(mounts.map((mount) => resolveMount(mount, { reject, propagationOf })));
}

async function resolveMount(
  mount: Mount,
  { reject, propagationOf }: { reject: readonly string[]; propagationOf: PropagationOf },
): Promise<Mount> {
  const action = `mount ${mount.hostPath} at ${mount.containerPath}`;
  try {
    const hostPath = await realSource(mount.hostPath, reject);
    checkPropagation(mount, await neededPropagation(mount, hostPath, propagationOf));
    return { ...mount, hostPath };
  } catch (cause) {
    throw SkiffError.from(cause, action);
  }
}

async function realSource(path: string, reject: readonly string[]): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT') throw cause;
  }
  if (reject.includes(posix.resolve(path)))
    throw new SkiffError(
      'failed_precondition',
      'the host path does not exist, and absent_mount_sources_to_reject forbids to make it',
    );
  await mkdir(path, { recursive: true, mode: 0o755 });
  return realpath(path);
}

async function neededPropagation(
  mount: Mount,
  path: string,
  propagationOf: PropagationOf,
): Promise<'shared' | 'slave' | 'private'> {
  return mount.propagation === 'private' ? 'private' : propagationOf(path);
}

function checkPropagation(mount: Mount, source: 'shared' | 'slave' | 'private'): void {
  const enough =
    mount.propagation === 'private' ||
    source === 'shared' ||
    (mount.propagation === 'host_to_container' && source === 'slave');
  if (enough) return;
  throw new SkiffError(
    'failed_precondition',
    `propagation ${mount.propagation} needs a shared${mount.propagation === 'host_to_container' ? ' or slave' : ''} mount as source, this one is ${source}; run: mount --make-rshared on its mount point`,
  );
}
