/** Child processes of the test command: each with its output in a log, a time bound, and no survivors. */
import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';

export interface ChildEnd {
  /** Exit code, or null where a signal ended it. */
  code: number | null;
  timedOut: boolean;
}

/** How long a child that was asked to end may take before it is killed, in ms. */
const GRACE = 5000;

/**
 * Runs `command` in a process group of its own, without stdin, its output
 * appended to `logPath`. Ended after `timeoutMs` or when `signal` aborts.
 */
export async function runChild(
  command: string[],
  options: { cwd: string; logPath: string; timeoutMs: number; env?: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<ChildEnd> {
  const log = await open(options.logPath, 'a');
  try {
    const [file = '', ...args] = command;
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', log.fd, log.fd],
      detached: true,
    });
    let timedOut = false;
    const end = () => void endGroup(child.pid ?? 0);
    const timer = setTimeout(() => {
      timedOut = true;
      end();
    }, options.timeoutMs);
    options.signal.addEventListener('abort', end);
    if (options.signal.aborted) end();
    try {
      const code = await new Promise<number | null>((resolve, reject) => {
        child.once('error', reject);
        child.once('exit', (status) => resolve(status));
      });
      return { code, timedOut };
    } finally {
      clearTimeout(timer);
      options.signal.removeEventListener('abort', end);
    }
  } finally {
    await log.close();
  }
}

/** SIGTERM to the group, SIGKILL to what is left of it. scripts/private.sh ends all inside it on SIGTERM. */
async function endGroup(pid: number): Promise<void> {
  if (pid === 0) return;
  signalGroup(pid, 'SIGTERM');
  for (let waited = 0; waited < GRACE && signalGroup(pid, 0); waited += 50)
    await new Promise((resolve) => setTimeout(resolve, 50));
  signalGroup(pid, 'SIGKILL');
}

/** False where no process of the group is left. */
function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-pid, signal);
  } catch {
    return false;
  }
}
