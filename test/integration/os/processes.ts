import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Pids of the processes whose command line is exactly `argv`; zombies have none. */
export async function processesRunning(...argv: string[]): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  return pids.filter((_, index) => lines[index] === `${argv.join('\0')}\0`);
}

/** Waits until `ready` answers true; fails after 5 s. */
export async function until(what: string, ready: () => Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + 5000; !(await ready()); await sleep(20))
    if (performance.now() > deadline) throw new Error(`waited 5 s until ${what}`);
}
