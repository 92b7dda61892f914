import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { ADDRESSES } from './cni.ts';
import type { TestDaemon } from './daemon.ts';

/** What there is, by kind: one text for each thing, such as a mount point or a process. */
export type Inventory = Record<string, string[]>;

/** Rows of these tables stand for things that a clean removal takes along; the journal only grows. */
const TABLES = ['sandboxes', 'containers', 'images', 'layers'];
/** Kept by the runtime for its own sake, whatever pods there are: database, sockets, empty directories of one noun. */
const FIXTURES = /^(lib|run)\/([a-z]+\/|[a-z]+\.sock|skiff\.db(-wal|-shm|-reserve)?|lock)$/;

/** What is inside a layer or a container's directory comes and goes with it. */
const INSIDE = /^lib\/(layers|containers)\/[^/]+\/./;

/**
 * Everything outside the daemon's process that pods and containers are made of.
 * Meant for scripts/private.sh, where all of it belongs to the test.
 */
export async function takeInventory(daemon: TestDaemon): Promise<Inventory> {
  return {
    process: await processes(),
    mount: await mounts(),
    'network namespace': await namesIn('/run/netns'),
    cgroup: await directoriesBelow('/sys/fs/cgroup'),
    address: await addresses(),
    interface: await interfaces(),
    file: [...(await filesBelow(daemon.root, 'lib')), ...(await filesBelow(daemon.state, 'run'))].filter(
      (path) => !FIXTURES.test(path) && !INSIDE.test(path),
    ),
    row: rows(join(daemon.root, 'skiff.db')),
  };
}

/** What is there after but was not before, as `kind: thing`. */
export function added(before: Inventory, after: Inventory): string[] {
  return Object.entries(after).flatMap(([kind, things]) => {
    const old = new Map<string, number>();
    for (const thing of before[kind] ?? []) old.set(thing, (old.get(thing) ?? 0) + 1);
    return things
      .filter((thing) => {
        const left = old.get(thing) ?? 0;
        old.set(thing, left - 1);
        return left <= 0;
      })
      .map((thing) => `${kind}: ${thing}`);
  });
}

/**
 * What is left since `before`. Looks again for a moment: a process that ended
 * takes its cgroup and its zombie along a little later than its exit is told.
 */
export async function leaks(daemon: TestDaemon, before: Inventory, patienceMs = 2000): Promise<string[]> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const left = added(before, await takeInventory(daemon));
    if (left.length === 0 || Date.now() > deadline) return left;
    await sleep(50);
  }
}

/** Command names of all processes but kernel threads and this one's passing children (`sh`, `ps`). */
async function processes(): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const [, name = '', state = ''] = /\((.*)\) (\S)/s.exec(stat) ?? [];
    if (name !== '') found.push(state === 'Z' ? `${name} (zombie)` : name);
  }
  return found.sort();
}

async function mounts(): Promise<string[]> {
  const text = await readFile('/proc/self/mountinfo', 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(' ')[4] ?? '');
}

async function interfaces(): Promise<string[]> {
  const text = await readFile('/proc/net/dev', 'utf8');
  const names = text
    .split('\n')
    .slice(2)
    .map((line) => line.split(':')[0]?.trim() ?? '');
  // A bridge stays for the next pod; the ends of veth pairs must not.
  return names.filter((name) => name.startsWith('veth'));
}

/** Addresses given out by host-local: files named after them. */
async function addresses(): Promise<string[]> {
  const found: string[] = [];
  for (const network of await namesIn(ADDRESSES))
    for (const name of await namesIn(join(ADDRESSES, network)))
      if (/^[\d.:a-f]+$/.test(name)) found.push(`${network}/${name}`);
  return found;
}

async function directoriesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
}

async function filesBelow(directory: string, label: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.map((entry) => {
    const path = join(entry.parentPath, entry.name).slice(directory.length + 1);
    return `${label}/${path}${entry.isDirectory() ? '/' : ''}`;
  });
}

function rows(database: string): string[] {
  const db = new DatabaseSync(database, { readOnly: true });
  try {
    return TABLES.flatMap((table) =>
      db
        .prepare(`SELECT id FROM ${table}`)
        .all()
        .map((row) => `${table} ${row.id}`),
    );
  } finally {
    db.close();
  }
}

async function namesIn(directory: string): Promise<string[]> {
  return (await readdir(directory).catch(() => [])).sort();
}
