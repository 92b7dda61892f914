import { readdir, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoOf, SkiffError } from '../base/errors.ts';
import { readFileIfThere } from '../base/files.ts';

/** Who makes cgroups: systemd, asked over D-Bus by runc, or runc itself with mkdir. */
export type CgroupDriver = 'systemd' | 'cgroupfs';

/** Where cgroup v2 is mounted, on systems that have nothing else. */
export const CGROUP_ROOT = '/sys/fs/cgroup';

/** How long a cgroup may stay busy while its last processes end. */
const REMOVE_MS = 2000;

/** The driver of a host: systemd where it is the init (sd_booted(3)). */
export async function detectDriver(): Promise<CgroupDriver> {
  const facts = await stat('/run/systemd/system').catch(() => undefined);
  return facts?.isDirectory() ? 'systemd' : 'cgroupfs';
}

/** Controllers at the root of cgroup v2 (cgroup.controllers); empty where it is not mounted or has none. */
export async function controllers(): Promise<Set<string>> {
  const text = (await readFileIfThere(join(CGROUP_ROOT, 'cgroup.controllers'))) ?? '';
  return new Set(text.split(/\s+/).filter((name) => name !== ''));
}

/** `linux.cgroupsPath` of an OCI spec: `slice:prefix:name` for systemd, a path below the root for cgroupfs. `parent` '' = the driver's default. */
export function cgroupsPath(driver: CgroupDriver, parent: string, id: string): string {
  if (driver === 'systemd') return `${parent === '' ? 'system.slice' : parent}:skiff:${id}`;
  return parent === '' ? `/skiff-${id}` : join('/', parent, id);
}

/** The directory of the container's cgroup, where the OCI runtime makes it. */
export function absoluteCgroup(driver: CgroupDriver, parent: string, id: string): string {
  if (driver === 'systemd')
    return join(parentDirectory(driver, parent === '' ? 'system.slice' : parent), `skiff-${id}.scope`);
  return join(CGROUP_ROOT, cgroupsPath(driver, parent, id));
}

/** The directory of a pod's cgroup: a slice lies below those that its name begins with (systemd.slice(5)). */
export function parentDirectory(driver: CgroupDriver, parent: string): string {
  if (driver === 'cgroupfs' || parent === '' || parent === '-.slice')
    return join(CGROUP_ROOT, driver === 'cgroupfs' ? parent : '');
  const parts = parent.slice(0, -'.slice'.length).split('-');
  return join(CGROUP_ROOT, ...parts.map((_, i) => `${parts.slice(0, i + 1).join('-')}.slice`));
}

/** Kills all processes of the cgroup and below (cgroup.kill, Linux 5.14); not there is fine. */
export async function killCgroup(path: string): Promise<void> {
  try {
    await writeFile(join(path, 'cgroup.kill'), '1');
  } catch (cause) {
    if (!isGone(cause)) throw SkiffError.from(cause, `kill cgroup ${path}`);
  }
}

/** Removes a cgroup and those below it; not there is fine. Waits a little for processes that are about to end. */
export async function removeCgroup(path: string): Promise<void> {
  if (path === '' || join(path) === CGROUP_ROOT) return;
  const until = performance.now() + REMOVE_MS;
  for (let pause = 5; ; pause = Math.min(pause * 2, 100)) {
    try {
      await removeTree(path);
      return;
    } catch (cause) {
      if (isGone(cause)) return;
      if (errnoOf(cause) !== 'EBUSY' || performance.now() > until)
        throw SkiffError.from(cause, `remove cgroup ${path} (processes left in it?)`);
    }
    await sleep(pause);
  }
}

/** Only directories can be removed from cgroupfs; its files go with them. */
async function removeTree(path: string): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true }))
    if (entry.isDirectory()) await removeTree(join(path, entry.name));
  await rmdir(path);
}

function isGone(cause: unknown): boolean {
  return errnoOf(cause) === 'ENOENT' || errnoOf(cause) === 'ENODEV';
}
