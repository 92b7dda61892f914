import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Proportional set size of a process in KiB (smaps_rollup, proc(5)); undefined where it is gone. */
export async function pssKiB(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => undefined);
  const match = text === undefined ? undefined : /^Pss:\s+(\d+) kB$/m.exec(text);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

/** PSS in KiB of every process whose command name starts with one of `names`. */
export async function pssOf(names: string[]): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const comm = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
      return names.some((name) => comm.startsWith(name)) ? pssKiB(Number(pid)) : undefined;
    }),
  );
  return found.filter((value) => value !== undefined);
}

/** Reads the PSS of a process again and again while `work` runs; the highest one in KiB. */
export async function peakPssKiB<T>(
  pid: number,
  work: () => Promise<T>,
): Promise<{ peak: number; value: T }> {
  let peak = 0;
  let over = false;
  const watch = async () => {
    while (!over) {
      peak = Math.max(peak, (await pssKiB(pid)) ?? 0);
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
