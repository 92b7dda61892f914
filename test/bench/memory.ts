import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Memory of a process in KiB (smaps_rollup, proc(5)). */
export interface Weight {
  /** Resident; for a daemon that runs alone, as on a node, the same as its PSS. */
  rss: number;
  /** Resident, pages that n processes map counted as 1/n. */
  pss: number;
  /** What belongs to no file: heap and stacks. */
  anonymous: number;
}

/** Undefined where the process is gone. */
export async function weigh(pid: number): Promise<Weight | undefined> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? Number.NaN);
  return { rss: field('Rss'), pss: field('Pss'), anonymous: field('Anonymous') };
}

/** As `weigh`, of a process that must be there. */
export async function weighDaemon(pid: number): Promise<Weight> {
  const weight = await weigh(pid);
  if (weight === undefined) throw new Error(`the daemon ${pid} is gone`);
  return weight;
}

/** PSS in KiB of every process whose command name starts with one of `names`. */
export async function pssOf(names: string[]): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const comm = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
      return names.some((name) => comm.startsWith(name)) ? (await weigh(Number(pid)))?.pss : undefined;
    }),
  );
  return found.filter((value) => value !== undefined);
}

/** Reads a process's anonymous memory again and again while `work` runs; the most of it in KiB. */
export async function peakKiB<T>(pid: number, work: () => Promise<T>): Promise<{ peak: number; value: T }> {
  let peak = 0;
  let over = false;
  const watch = async () => {
    while (!over) {
      peak = Math.max(peak, (await weigh(pid))?.anonymous ?? 0);
      await sleep(100);
    }
  };
  const watching = watch();
  try {
    return { value: await work(), peak };
  } finally {
    over = true;
    await watching;
  }
}
