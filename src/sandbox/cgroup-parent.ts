import { posix } from 'node:path';
import { SkiffError } from '../base/errors.ts';
import { type CgroupDriver, parentDirectory } from '../os/cgroup.ts';
import type { SandboxRow } from './types.ts';

/**
 * The cgroup under which the pod's containers go, from the field
 * cgroup_parent: for systemd the name of a slice (the kubelet sends the path of
 * all slices above it as well), for cgroupfs an absolute path below the root.
 * Without one, cgroupfs gets a cgroup of the pod's own, named after its id, and
 * systemd '' = its default slice. Refuses what the driver cannot use.
 */
export function podCgroupParent(driver: CgroupDriver, parent: string, id = ''): string {
  if (parent === '') return driver === 'cgroupfs' && id !== '' ? `/skiff-${id.slice(0, 16)}` : '';
  if (parent.includes('\0') || parent.split('/').includes('..'))
    throw invalid(`${JSON.stringify(parent)} must not leave the cgroup root`);
  const path = posix.normalize(`/${parent}`).replace(/(.)\/$/, '$1');
  if (driver === 'cgroupfs') return path;
  const slice = posix.basename(path);
  if (!slice.endsWith('.slice'))
    throw invalid(
      `${JSON.stringify(parent)} is not a systemd slice: set cgroupDriver of the kubelet to systemd, or cgroup_driver = "cgroupfs"`,
    );
  if (!isSliceName(slice)) throw invalid(`${JSON.stringify(slice)} is not a valid slice name`);
  return slice;
}

/** The cgroup directory that is the pod's alone and must go with it; null where another, such as the kubelet, made it. */
export function ownCgroup(driver: CgroupDriver, row: SandboxRow): string | null {
  if (driver !== 'cgroupfs' || row.config.cgroupParent !== '' || row.cgroupParent === '') return null;
  return parentDirectory(driver, row.cgroupParent);
}

/**
 * The cgroup directory for the init of a shared PID namespace, beside the pod's
 * containers: processes in a cgroup that hands controllers on are not allowed.
 * null with systemd, whose slices are its own to fill: the init stays with the daemon there.
 */
export function initCgroup(
  driver: CgroupDriver,
  row: Pick<SandboxRow, 'id' | 'cgroupParent'>,
): string | null {
  if (driver !== 'cgroupfs') return null;
  return posix.join(parentDirectory(driver, row.cgroupParent), `skiff-init-${row.id.slice(0, 16)}`);
}

/** systemd.slice(5): dashes join the names of the slices above, so none may be empty. */
function isSliceName(slice: string): boolean {
  const name = slice.slice(0, -'.slice'.length);
  return name === '-' || (name !== '' && name.split('-').every((part) => part !== ''));
}

function invalid(what: string): SkiffError {
  return new SkiffError('invalid_argument', `linux.cgroup_parent: ${what}`);
}
