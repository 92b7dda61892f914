import { Socket } from 'node:net';
import { errnoOf, SkiffError } from '../base/errors.ts';
import { readFileIfThere } from '../base/files.ts';
import { after, within } from '../base/wait.ts';
import { type ExitStatus, native } from './native.ts';

export interface RunOptions {
  /** All of the environment; default that of this process. */
  env?: Record<string, string>;
  cwd?: string;
  /** Default: /dev/null. */
  stdin?: string | Buffer;
  /** Ends the program and all that it started; `run` then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Ends the program and all that it started; the result has `timedOut`. 0 or absent = none. */
  timeoutMs?: number;
  /** Bytes kept of each stream, default 16 MiB; the rest is read and dropped. */
  maxOutput?: number;
  /** File of the network namespace to run in. */
  netns?: string;
  /** Runs on when this process dies, and whoever comes next finds it by a pid file; else it dies too. */
  outlives?: boolean;
}

export interface RunResult {
  /** Null where a signal ended it. */
  code: number | null;
  signal: number | null;
  stdout: Buffer;
  stderr: Buffer;
  timedOut: boolean;
  pid: number;
}

const MAX_OUTPUT = 16 * 1024 * 1024;
const CHUNK = 64 * 1024;

const SIGKILL = 9;
/** How long a killed process may take: longer means that it hangs in the kernel. */
const KILL_WAIT_MS = 10_000;

/** How long output is still read once the program has ended: what it left behind may hold the pipe for ever. */
const DRAIN_MS = 1000;

/**
 * Runs a program to its end. Any exit code is a result; rejects only where the
 * program cannot be started (the Error of native.spawn, `code` ENOENT and the
 * like) or `signal` is aborted. A background process that holds the pipes does
 * not hang it: output is read until 1 s after the program's end.
 */
export async function run(file: string, args: string[], options: RunOptions = {}): Promise<RunResult> {
  options.signal?.throwIfAborted();
  const child = native().spawn({
    file,
    argv: [file, ...args],
    env: Object.entries(options.env ?? process.env).map(([key, value]) => `${key}=${value}`),
    cwd: options.cwd ?? null,
    stdio: [options.stdin === undefined ? 'null' : 'pipe', 'pipe', 'pipe'],
    setsid: false,
    netns: options.netns ?? null,
    // A CNI plugin of a dead daemon must not go on adding while the next daemon undoes.
    dieWithParent: options.outlives !== true,
  });
  const [stdin, stdout, stderr] = child.fds;
  const maxOutput = options.maxOutput ?? MAX_OUTPUT;
  const outputs = [collect(stdout as number, maxOutput), collect(stderr as number, maxOutput)] as const;
  const input = typeof stdin === 'number' ? feed(stdin, options.stdin ?? '') : undefined;
  const exit = native()
    .waitPid(child.pidfd)
    .finally(() => native().close(child.pidfd));
  const timedOut = await endOf(exit, child.pid, options);
  input?.destroy();
  const [out, err] = await Promise.all(outputs.map((output) => output.drain(DRAIN_MS)));
  options.signal?.throwIfAborted();
  return { ...(await exit), stdout: out as Buffer, stderr: err as Buffer, timedOut, pid: child.pid };
}

/** Waits for the end, which a passed deadline or an aborted signal brings about; true where it was the deadline. */
async function endOf(exit: Promise<ExitStatus>, pid: number, options: RunOptions): Promise<boolean> {
  let timedOut = false;
  let killed: Promise<unknown> = Promise.resolve();
  const kill = () => {
    killed = native()
      .killTree(pid)
      .catch(() => undefined);
  };
  const callOff = options.timeoutMs
    ? after(options.timeoutMs, () => {
        timedOut = true;
        kill();
      })
    : undefined;
  options.signal?.addEventListener('abort', kill, { once: true });
  try {
    await exit;
  } finally {
    callOff?.();
    options.signal?.removeEventListener('abort', kill);
  }
  await killed;
  return timedOut;
}

function feed(fd: number, data: string | Buffer): Socket {
  const socket = new Socket({ fd, readable: false, writable: true });
  // A program need not read what it is given: EPIPE is its own affair.
  socket.on('error', () => socket.destroy());
  socket.end(data);
  return socket;
}

/** Reads the pipe `fd` to its end, keeping at most `max` bytes. One buffer takes every read, so dropped output costs nothing. */
function collect(fd: number, max: number): { drain(ms: number): Promise<Buffer> } {
  const chunks: Buffer[] = [];
  let kept = 0;
  const keep = (length: number, buffer: Uint8Array) => {
    const take = Math.min(length, max - kept);
    if (take > 0) chunks.push(Buffer.from(buffer.subarray(0, take)));
    kept += take;
    return true;
  };
  const socket = new Socket({
    fd,
    readable: true,
    writable: false,
    onread: { buffer: Buffer.allocUnsafeSlow(CHUNK), callback: keep },
  });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.on('error', () => socket.destroy());
  socket.resume();
  return {
    async drain(ms) {
      const timer = setTimeout(() => socket.destroy(), ms);
      await closed;
      clearTimeout(timer);
      return Buffer.concat(chunks);
    },
  };
}

/** Field 22 of /proc/PID/stat, clock ticks since boot: with the pid it names a process for good. Undefined: no such process. */
export async function startTime(pid: number): Promise<string | undefined> {
  return (await processStat(pid))?.startTime;
}

/** True while that very process runs; a zombie does not. */
export async function isAlive(process: { pid: number; startTime: string }): Promise<boolean> {
  const stat = await processStat(process.pid);
  return stat !== undefined && stat.startTime === process.startTime && !['Z', 'X'].includes(stat.state);
}

/**
 * SIGKILL for that very process, then waits until it has ended; gone already is
 * fine. `deadline_exceeded` where it hangs in the kernel.
 */
export async function killProcess(process: { pid: number; startTime: string }): Promise<void> {
  const pidfd = openProcess(process.pid);
  if (pidfd === undefined) return;
  // The descriptor is held before the start time is read: the pid cannot pass to another process in between.
  const ours = await isAlive(process).catch(() => false);
  if (ours) native().pidfdSendSignal(pidfd, SIGKILL);
  const ended = ours ? native().waitPid(pidfd) : Promise.resolve();
  const closed = ended.finally(() => native().close(pidfd));
  if (!(await within(closed, KILL_WAIT_MS, new AbortController().signal)))
    throw new SkiffError(
      'deadline_exceeded',
      `kill process ${process.pid}: it has not ended after ${KILL_WAIT_MS / 1000} s; ${await describeProcess(process.pid)}`,
    );
}

/** Resolves when that very process has ended; it need not be a child. At once where it is gone already. */
export async function processEnd(process: { pid: number; startTime: string }): Promise<void> {
  const pidfd = openProcess(process.pid);
  if (pidfd === undefined) return;
  try {
    if (await isAlive(process)) await native().waitPid(pidfd);
  } finally {
    native().close(pidfd);
  }
}

/** One sentence for an error message: what a process does just now, such as a call in the kernel that hangs. */
export async function describeProcess(pid: number): Promise<string> {
  const stat = await processStat(pid);
  if (stat === undefined) return `process ${pid} is gone`;
  const waiting = await readProc(`/proc/${pid}/wchan`);
  const where = waiting !== undefined && !['', '0'].includes(waiting) ? `, waiting in ${waiting}` : '';
  return `process ${pid} (${stat.name}) is in state ${stat.state}${where}`;
}

function openProcess(pid: number): number | undefined {
  try {
    return native().pidfdOpen(pid);
  } catch (cause) {
    if (errnoOf(cause) === 'ESRCH') return undefined;
    throw cause;
  }
}

/** From proc_pid_stat(5). The command's name, in parentheses, may hold anything: fields are counted after the last one. */
async function processStat(
  pid: number,
): Promise<{ name: string; state: string; startTime: string } | undefined> {
  const text = await readProc(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  const end = text.lastIndexOf(')');
  const fields = text.slice(end + 2).split(' ');
  const [state, startTime] = [fields[0], fields[19]];
  if (state === undefined || startTime === undefined) return undefined;
  return { name: text.slice(text.indexOf('(') + 1, end), state, startTime };
}

async function readProc(path: string): Promise<string | undefined> {
  try {
    return await readFileIfThere(path);
  } catch (cause) {
    // The process ended between open and read.
    if (errnoOf(cause) === 'ESRCH') return undefined;
    throw cause;
  }
}
