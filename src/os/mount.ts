import { readFile } from 'node:fs/promises';
import { errnoOf, SkiffError } from '../base/errors.ts';
import { MNT, MS, native, UMOUNT_NOFOLLOW } from './native.ts';

/** One line of /proc/self/mountinfo (proc_pid_mountinfo(5)), as far as it is used. */
export interface MountEntry {
  target: string;
  propagation: 'shared' | 'slave' | 'private';
  fstype: string;
}

const FLAGS: Record<string, number> = {
  noexec: MS.NOEXEC,
  nosuid: MS.NOSUID,
  nodev: MS.NODEV,
  ro: MS.RDONLY,
};

/** Mounts a tmpfs of `size` bytes on `target`; `options` are those of mount(8) that are flags: noexec, nosuid, nodev, ro. */
export async function mountTmpfs(
  target: string,
  options: { size: number; mode: number; options?: string[] },
): Promise<void> {
  const flags = (options.options ?? []).reduce((all, name) => all | flagOf(name), 0);
  const data = `mode=${options.mode.toString(8)},size=${options.size}`;
  await attempt(`mount tmpfs on ${target}`, () => native().mount('tmpfs', target, 'tmpfs', flags, data));
}

/** Bind-mounts `source` on `target`, with all mounts below it where `recursive`. */
export async function bindMount(
  source: string,
  target: string,
  options: { recursive?: boolean; readonly?: boolean } = {},
): Promise<void> {
  const flags = MS.BIND | (options.recursive ? MS.REC : 0);
  await attempt(`bind ${source} on ${target}`, () => native().mount(source, target, null, flags, null));
  if (!options.readonly) return;
  try {
    // A bind mount takes its flags only by a second call (mount(2)).
    await native().mount(null, target, null, MS.REMOUNT | MS.BIND | MS.RDONLY, null);
  } catch (cause) {
    await unmount(target);
    throw SkiffError.from(cause, `make ${target} read-only`);
  }
}

/** Unmounts all that is mounted on `target`. Not mounted or not there is fine; a busy mount is detached. */
export async function unmount(target: string): Promise<void> {
  for (;;) {
    try {
      await native().umount(target, UMOUNT_NOFOLLOW);
    } catch (cause) {
      const errno = errnoOf(cause);
      if (errno === 'EINVAL' || errno === 'ENOENT' || errno === 'ENOTDIR') return;
      if (errno !== 'EBUSY') throw SkiffError.from(cause, `unmount ${target}`);
      await detach(target);
    }
  }
}

async function detach(target: string): Promise<void> {
  try {
    await native().umount(target, UMOUNT_NOFOLLOW | MNT.DETACH);
  } catch (cause) {
    if (errnoOf(cause) !== 'EINVAL') throw SkiffError.from(cause, `unmount ${target}`);
  }
}

/** True where something is mounted exactly on `path`. */
export async function isMountpoint(path: string): Promise<boolean> {
  return (await readMounts()).some(({ target }) => target === path);
}

/** Propagation of the mount that `path`, absolute and without symbolic links, is on. */
export async function mountPropagation(path: string): Promise<MountEntry['propagation']> {
  const holds = ({ target }: MountEntry) =>
    target === '/' || path === target || path.startsWith(`${target}/`);
  // The longest target wins, and of mounts on the same one the last.
  const above = (await readMounts()).filter(holds);
  const entry = above.reduce<MountEntry | undefined>(
    (best, next) => (best === undefined || next.target.length >= best.target.length ? next : best),
    undefined,
  );
  return entry?.propagation ?? 'private';
}

/** The mounts of this process, in the order of the kernel. */
export async function readMounts(): Promise<MountEntry[]> {
  return parseMounts(await readFile('/proc/self/mountinfo', 'utf8'));
}

export function parseMounts(text: string): MountEntry[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    const separator = fields.indexOf('-', 6);
    if (separator < 0) return [];
    return [
      {
        target: unescapeOctal(fields[4] ?? ''),
        propagation: propagationOf(fields.slice(6, separator)),
        fstype: fields[separator + 1] ?? '',
      },
    ];
  });
}

function propagationOf(tags: string[]): MountEntry['propagation'] {
  if (tags.some((tag) => tag.startsWith('shared:'))) return 'shared';
  return tags.some((tag) => tag.startsWith('master:')) ? 'slave' : 'private';
}

/** The kernel writes space, tab, newline and backslash of a path as octal numbers. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function flagOf(name: string): number {
  const flag = FLAGS[name];
  if (flag === undefined) throw new SkiffError('internal', `mount: no flag is called "${name}"`);
  return flag;
}

async function attempt(action: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    throw SkiffError.from(cause, action);
  }
}
