import { chmod, chown, mkdir, rmdir } from 'node:fs/promises';
import { errnoOf, SkiffError } from '../base/errors.ts';
import { unmount } from './mount.ts';
import { AT_FDCWD, native } from './native.ts';

/** A root file system from layers: `lowers` read-only, the top one first; `upper` takes the changes. All absolute. */
export interface Rootfs {
  lowers: string[];
  upper: string;
  work: string;
  merged: string;
}

/**
 * Mounts the root file system on `merged`; the directories are there. `index`
 * is off as in the peers: it would refuse an upper directory whose lower ones
 * were moved (Documentation/filesystems/overlayfs.rst).
 */
export async function mountRootfs({ lowers, upper, work, merged }: Rootfs): Promise<void> {
  try {
    await native().overlayMount({ lowers, upper, work, target: merged, options: ['index=off'] });
  } catch (cause) {
    throw SkiffError.from(cause, `mount ${lowers.length} layers on ${merged}`);
  }
}

/**
 * Makes the directories of a new root file system and mounts it. overlayfs
 * shows the upper directory's own mode, owner and times as those of `/`, so it
 * gets those of the top layer.
 */
export async function makeRootfs(rootfs: Rootfs): Promise<void> {
  for (const directory of [rootfs.upper, rootfs.work, rootfs.merged])
    await mkdir(directory, { recursive: true, mode: 0o711 });
  const [top] = rootfs.lowers;
  if (top !== undefined) {
    const facts = native().fstatat(AT_FDCWD, top, 0);
    await chown(rootfs.upper, facts.uid, facts.gid);
    await chmod(rootfs.upper, facts.mode & 0o7777);
    const { mtimeSec, mtimeNsec } = facts;
    native().utimensat(AT_FDCWD, rootfs.upper, mtimeSec, mtimeNsec, mtimeSec, mtimeNsec, 0);
  }
  await mountRootfs(rootfs);
}

/** Unmounts it and removes the mount point; not mounted or not there is fine. The upper directory stays. */
export async function unmountRootfs(merged: string): Promise<void> {
  await unmount(merged);
  try {
    await rmdir(merged);
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT') throw SkiffError.from(cause, `remove mount point ${merged}`);
  }
}
