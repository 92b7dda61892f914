import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Readers of cgroup v2 files (Documentation/admin-guide/cgroup-v2.rst). What the kernel does not tell is null, never an error. */

export interface CgroupCpu {
  usageNs: bigint | null;
  userNs: bigint | null;
  systemNs: bigint | null;
  periods: number | null;
  throttledPeriods: number | null;
  throttledNs: bigint | null;
}

/** Bytes and counts. `rssBytes` is anonymous memory; limits are null where there is none. */
export interface CgroupMemory {
  usageBytes: number | null;
  workingSetBytes: number | null;
  availableBytes: number | null;
  rssBytes: number | null;
  limitBytes: number | null;
  pageFaults: number | null;
  majorPageFaults: number | null;
  swapBytes: number | null;
  swapLimitBytes: number | null;
  oomKills: number | null;
}

/** Sums over all devices. */
export interface CgroupIo {
  readBytes: number;
  writtenBytes: number;
  readOps: number;
  writeOps: number;
}

export interface PressureLine {
  avg10: number;
  avg60: number;
  avg300: number;
  totalUs: bigint;
}
export interface Pressure {
  some: PressureLine;
  /** Absent for CPU before Linux 5.13: then all zero. */
  full: PressureLine;
}

const PAGE_BYTES = 4096;

/** cpu.stat: usage is there without the cpu controller too, as long as the cgroup exists. */
export async function readCpu(path: string): Promise<CgroupCpu> {
  const stat = await readKeyed(path, 'cpu.stat');
  return {
    usageNs: microseconds(stat.get('usage_usec')),
    userNs: microseconds(stat.get('user_usec')),
    systemNs: microseconds(stat.get('system_usec')),
    periods: count(stat.get('nr_periods')),
    throttledPeriods: count(stat.get('nr_throttled')),
    throttledNs: microseconds(stat.get('throttled_usec')),
  };
}

/** memory.*; without the memory controller only `rssBytes`, summed over the processes' resident pages. */
export async function readMemory(path: string): Promise<CgroupMemory> {
  const [usageBytes, limitBytes, stat, events, swapBytes, swapLimitBytes] = await Promise.all([
    readNumber(path, 'memory.current'),
    readNumber(path, 'memory.max'),
    readKeyed(path, 'memory.stat'),
    readKeyed(path, 'memory.events'),
    readNumber(path, 'memory.swap.current'),
    readNumber(path, 'memory.swap.max'),
  ]);
  const workingSetBytes =
    usageBytes === null ? null : Math.max(0, usageBytes - (count(stat.get('inactive_file')) ?? 0));
  return {
    usageBytes,
    workingSetBytes,
    availableBytes:
      limitBytes === null || workingSetBytes === null ? null : Math.max(0, limitBytes - workingSetBytes),
    rssBytes: count(stat.get('anon')) ?? (usageBytes === null ? await residentBytes(path) : null),
    limitBytes,
    pageFaults: count(stat.get('pgfault')),
    majorPageFaults: count(stat.get('pgmajfault')),
    swapBytes,
    swapLimitBytes,
    oomKills: count(events.get('oom_kill')),
  };
}

/** io.stat, null without the io controller. */
export async function readIo(path: string): Promise<CgroupIo | null> {
  const text = await read(path, 'io.stat');
  if (text === null) return null;
  const sum = (key: string) =>
    [...text.matchAll(new RegExp(`\\b${key}=(\\d+)`, 'g'))].reduce(
      (total, match) => total + Number(match[1]),
      0,
    );
  return {
    readBytes: sum('rbytes'),
    writtenBytes: sum('wbytes'),
    readOps: sum('rios'),
    writeOps: sum('wios'),
  };
}

/** Tasks of the cgroup and all below it: pids.current, else the processes that are counted there. Null where there is no cgroup. */
export async function readPids(path: string): Promise<number | null> {
  const current = await readNumber(path, 'pids.current');
  if (current !== null) return current;
  return (await read(path, 'cgroup.procs')) === null ? null : (await processes(path)).length;
}

/** Pressure of one resource (Documentation/accounting/psi.rst), null where the kernel has none. */
export async function readPsi(path: string, resource: 'cpu' | 'memory' | 'io'): Promise<Pressure | null> {
  const text = await read(path, `${resource}.pressure`);
  if (text === null) return null;
  const some = pressureLine(text, 'some');
  return some === null ? null : { some, full: pressureLine(text, 'full') ?? NO_PRESSURE };
}

const NO_PRESSURE: PressureLine = { avg10: 0, avg60: 0, avg300: 0, totalUs: 0n };

function pressureLine(text: string, kind: 'some' | 'full'): PressureLine | null {
  const match = new RegExp(`^${kind} avg10=(\\S+) avg60=(\\S+) avg300=(\\S+) total=(\\d+)`, 'm').exec(text);
  if (match === null) return null;
  const [, avg10, avg60, avg300, total = '0'] = match;
  return { avg10: Number(avg10), avg60: Number(avg60), avg300: Number(avg300), totalUs: BigInt(total) };
}

async function residentBytes(path: string): Promise<number | null> {
  if ((await read(path, 'cgroup.procs')) === null) return null;
  const sizes = await Promise.all(
    (await processes(path)).map(async (pid) => {
      const statm = await readFile(`/proc/${pid}/statm`, 'utf8').catch(() => '');
      return Number(statm.split(' ')[1] ?? 0) * PAGE_BYTES;
    }),
  );
  return sizes.reduce((total, size) => total + size, 0);
}

/** Process ids in the cgroup and all below it. */
async function processes(path: string): Promise<string[]> {
  const own = ((await read(path, 'cgroup.procs')) ?? '').split('\n').filter((line) => line !== '');
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  const below = entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => processes(join(path, entry.name)));
  return [...own, ...(await Promise.all(below)).flat()];
}

async function readNumber(path: string, file: string): Promise<number | null> {
  const text = (await read(path, file))?.trim();
  // "max" is no limit.
  return text === undefined || !/^\d+$/.test(text) ? null : Number(text);
}

async function readKeyed(path: string, file: string): Promise<Map<string, string>> {
  const text = (await read(path, file)) ?? '';
  return new Map(
    text.split('\n').flatMap((line) => {
      const [key, value] = line.split(' ');
      return key && value ? [[key, value] as const] : [];
    }),
  );
}

/** A cgroup may be removed between two reads, and a controller may be off: both are "not told". */
async function read(path: string, file: string): Promise<string | null> {
  return readFile(join(path, file), 'utf8').catch(() => null);
}

function count(text: string | undefined): number | null {
  return text === undefined ? null : Number(text);
}

function microseconds(text: string | undefined): bigint | null {
  return text === undefined ? null : BigInt(text) * 1000n;
}
