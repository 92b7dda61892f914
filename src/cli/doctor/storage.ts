import { stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readFileIfThere } from '../../base/files.ts';
import { readMounts } from '../../os/mount.ts';
import { probeOverlay } from '../../os/probe.ts';
import { bytes } from '../output.ts';
import { type Check, fail, ok, warn } from './finding.ts';

const ENOUGH_BYTES = 2 * 1024 ** 3;
const ENOUGH_SHARE = 0.1;
/** Layers need trusted xattrs, devices and hard links; a container writes here. */
const UNFIT = ['nfs', 'nfs4', 'cifs', 'smb3', '9p', 'vfat', 'exfat', 'fuseblk'];

export const overlay: Check = async ({ config, root }) => {
  if (!root) {
    const known = ((await readFileIfThere('/proc/filesystems')) ?? '').includes('\toverlay\n');
    return known
      ? ok('overlayfs', 'known to the kernel; a mount was not tried')
      : warn(
          'overlayfs',
          'not loaded',
          'modprobe overlay, and write "overlay" to /etc/modules-load.d/overlay.conf',
        );
  }
  const directory = await nearest(config.root);
  const trouble = await probeOverlay(directory);
  if (trouble === undefined) return ok('overlayfs', `mounts on ${directory}`);
  return fail(
    'overlayfs',
    `cannot be mounted on ${directory}: ${trouble}`,
    'modprobe overlay; if it is there, set root to a directory on ext4, xfs (ftype=1) or btrfs',
  );
};

export const disk: Check = async ({ config }) => {
  const directory = await nearest(config.root);
  const { bavail, blocks, bsize, ffree, files } = await statfs(directory);
  const fstype = await filesystemOf(directory);
  const message = `${bytes(bavail * bsize)} of ${bytes(blocks * bsize)} free on ${fstype} at ${directory}`;
  if (UNFIT.includes(fstype)) {
    return fail(
      'disk',
      `${directory} is on ${fstype}`,
      'set root to a directory on a local ext4, xfs or btrfs',
    );
  }
  if (files > 0 && ffree / files < ENOUGH_SHARE) {
    return warn(
      'disk',
      `${message}, but only ${ffree} inodes`,
      'remove images ("skiff rmi") or give the file system more inodes',
    );
  }
  if (bavail * bsize < ENOUGH_BYTES || bavail / blocks < ENOUGH_SHARE) {
    return warn('disk', message, 'remove images ("skiff rmi"), or set root to a directory with more room');
  }
  return ok('disk', message);
};

/** `path`, or the nearest directory above it that exists. */
async function nearest(path: string): Promise<string> {
  const there = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  return there || path === '/' ? path : nearest(dirname(path));
}

async function filesystemOf(directory: string): Promise<string> {
  const mounts = (await readMounts()).filter(
    ({ target }) => target === '/' || directory === target || directory.startsWith(`${target}/`),
  );
  return mounts.sort((a, b) => a.target.length - b.target.length).at(-1)?.fstype ?? 'unknown';
}
