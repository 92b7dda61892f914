import { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { type ExitStatus, native, type Spawned } from './native.ts';

/** A program that runs with its streams in our hands; null where it has /dev/null. */
export interface Child {
  pid: number;
  stdin: Writable | null;
  stdout: Socket | null;
  stderr: Socket | null;
  ended: Promise<ExitStatus>;
}

/**
 * Starts a program on pipes, which take and give no faster than the other end.
 * With `report` it has one more, its descriptor 3.
 */
export function startChild(
  file: string,
  args: string[],
  streams: { stdin: boolean; stdout: boolean; stderr: boolean; report: boolean },
): Child & { report: Socket | null } {
  const { stdin, stdout, stderr, report } = streams;
  const child = native().spawn({
    file,
    argv: [file, ...args],
    env: inheritedEnv(),
    cwd: null,
    stdio: [stdin, stdout, stderr, ...(report ? [true] : [])].map((piped) => (piped ? 'pipe' : 'null')),
    setsid: false,
    netns: null,
    // Where this process is killed, the next one finds what is left by its command line.
    dieWithParent: false,
  });
  const [input, ...outputs] = child.fds;
  const [out, err, told] = outputs.map(reader);
  return {
    pid: child.pid,
    stdin: writer(input),
    stdout: out ?? null,
    stderr: err ?? null,
    report: told ?? null,
    ended: endOf(child),
  };
}

/** All of this process's environment, as native.spawn takes it. */
export function inheritedEnv(): string[] {
  return Object.entries(process.env).map(([key, value]) => `${key}=${value}`);
}

export function endOf({ pidfd }: Pick<Spawned, 'pidfd'>): Promise<ExitStatus> {
  return native()
    .waitPid(pidfd)
    .finally(() => native().close(pidfd));
}

function writer(fd: number | null | undefined): Socket | null {
  if (typeof fd !== 'number') return null;
  const socket = new Socket({ fd, readable: false, writable: true });
  // A program need not read what it is given: EPIPE is its own affair.
  socket.on('error', () => undefined);
  return socket;
}

function reader(fd: number | null | undefined): Socket | null {
  if (typeof fd !== 'number') return null;
  // Reading begins when somebody takes the data.
  const socket = new Socket({ fd, readable: true, writable: false });
  socket.pause();
  socket.on('error', () => undefined);
  return socket;
}
