import { readFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';

/** How busy the machine was between two instants, 1 = all its processors. */
export interface Busyness {
  seconds: number;
  /** The bench with all contestants. */
  ours: number;
  /** Everything else on the machine, and what the kernel did for it. */
  others: number;
  /** Load averages (1, 5, 15 min) at the end. */
  load: number[];
}

interface Ticks {
  total: number;
  busy: number;
  ours: number;
}

/** Counters of now; the answered function tells what happened since. */
export async function watchMachine(): Promise<() => Promise<Busyness>> {
  const started = performance.now();
  const from = await read();
  return async () => {
    const to = await read();
    const total = Math.max(1, to.total - from.total);
    const ours = Math.min(to.ours - from.ours, to.busy - from.busy);
    return {
      seconds: (performance.now() - started) / 1000,
      ours: ours / total,
      others: (to.busy - from.busy - ours) / total,
      load: loadavg(),
    };
  };
}

/**
 * In hundredths of a second, all processors together. /proc/stat (proc(5)) counts the machine; our own part is the
 * cgroup of scripts/private.sh.
 */
async function read(): Promise<Ticks> {
  const stat = await readFile('/proc/stat', 'utf8');
  const fields = stat.slice(3, stat.indexOf('\n')).trim().split(/\s+/).slice(0, 8).map(Number);
  const total = fields.reduce((sum, value) => sum + value, 0);
  const idle = fields[3]! + fields[4]!;
  return { total, busy: total - idle, ours: (await cpuMsOf('/sys/fs/cgroup')) / 10 };
}

/** CPU time in ms that a cgroup and those below it have used: cpu.stat (cgroup-v2.rst), which needs no controller. */
export async function cpuMsOf(cgroup: string): Promise<number> {
  const stat = await readFile(join(cgroup, 'cpu.stat'), 'utf8');
  return Number(/^usage_usec (\d+)$/m.exec(stat)?.[1] ?? Number.NaN) / 1000;
}
