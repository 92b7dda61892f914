import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoOf, SkiffError } from '../base/errors.ts';
import { native } from './native.ts';
import { isAlive } from './process.ts';

const SIGKILL = 9;
/** How long a killed process may take to end; longer means that it hangs in the kernel. */
const END_MS = 5000;

/**
 * Kills that very process, which need not be a child, and waits for its end;
 * gone already is fine. The end of the init of a PID namespace ends all in it.
 */
export async function endProcess(process: { pid: number; startTime: string }): Promise<void> {
  if (!(await kill(process))) return;
  const until = performance.now() + END_MS;
  for (let pause = 1; await isAlive(process); pause = Math.min(pause * 2, 50)) {
    if (performance.now() > until)
      throw new SkiffError(
        'deadline_exceeded',
        `end process ${process.pid}: it was killed but goes on; ${await describeProcess(process.pid)}`,
      );
    await sleep(pause);
  }
}

/** False where it is not there any more. The descriptor pins the process, then the start time tells whether it is the one. */
async function kill(process: { pid: number; startTime: string }): Promise<boolean> {
  let pidfd: number;
  try {
    pidfd = native().pidfdOpen(process.pid);
  } catch (cause) {
    if (errnoOf(cause) === 'ESRCH') return false;
    throw SkiffError.from(cause, `end process ${process.pid}`);
  }
  try {
    if (!(await isAlive(process))) return false;
    native().pidfdSendSignal(pidfd, SIGKILL);
    return true;
  } catch (cause) {
    if (errnoOf(cause) === 'ESRCH') return false;
    throw SkiffError.from(cause, `end process ${process.pid}`);
  } finally {
    native().close(pidfd);
  }
}

/** Where a process that does not end hangs, in words: its state and the kernel function it waits in (proc(5)). */
export async function describeProcess(pid: number): Promise<string> {
  try {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    const state = /^State:\s*(.*)$/m.exec(status)?.[1] ?? 'unknown';
    const waits = await readFile(`/proc/${pid}/wchan`, 'utf8').catch(() => '');
    return `process ${pid} is in state ${state}${waits === '' || waits === '0' ? '' : `, waiting in ${waits}`}`;
  } catch {
    return `process ${pid} is gone`;
  }
}
