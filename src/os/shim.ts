import { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { SkiffError } from '../base/errors.ts';
import { readFileIfThere } from '../base/files.ts';
import { within } from '../base/wait.ts';
import { native, type Spawned } from './native.ts';
import { artefact } from './paths.ts';
import { isAlive, startTime } from './process.ts';
import { type Attachment, attachShim } from './shim-attach.ts';
import { connectSocket, type Exit, type ShimConnection } from './shim-connection.ts';
import type { AttachStreams, ShimRequest } from './shim-protocol.ts';

/** A container to start; all paths absolute. */
export interface ShimStart {
  id: string;
  /** The OCI runtime and its global arguments, such as ['--root', dir]. */
  runtime: string;
  runtimeArgs: string[];
  bundle: string;
  /** The container's run directory, which must be there: shim.sock, the runtime's log and the pid file go into it. */
  stateDir: string;
  /** CRI log, '' = output is discarded. */
  logPath: string;
  exitFile: string;
  tty: boolean;
  stdin: boolean;
  stdinOnce: boolean;
  /** Bytes; longer lines are split, 0 or less = not. */
  maxLine: number;
}

/** `exitCode` is 128+n after signal n; `finishedAt` in ns since the epoch. */
export interface ExitRecord {
  exitCode: number;
  finishedAt: string;
  oomKilled: boolean;
}

/** A container's shim. Calls reject with `unavailable` when the connection is lost before the answer. */
export interface Shim {
  readonly shimPid: number;
  readonly containerPid: number;
  /** How the container ended; null = the connection was lost without a word of it: read the exit file. Never rejects. */
  readonly exited: Promise<ExitRecord | null>;
  /** Signals the container's init; `all` (SIGKILL only) ends every process of its cgroup. Ended already is fine. */
  kill(signal: number, all: boolean): Promise<void>;
  /** Resolves when lines go into a new file at the log path. */
  reopenLog(): Promise<void>;
  /** Bytes of log lines that the disk did not take; the container was never held up for them. */
  lostLogBytes(): Promise<number>;
  /** Characters. `failed_precondition` for a container without a terminal. */
  resize(width: number, height: number): Promise<void>;
  /** A container with a terminal keeps its stdin. */
  closeStdin(): Promise<void>;
  attach(streams: AttachStreams): Promise<Attachment>;
  /** Lets go of the shim; the container runs on. */
  disconnect(): void;
}

/** A cancelled start that has not been undone by then leaves its shim to be killed. */
const CANCEL_MS = 15_000;
/** A shim that starts a container answers when the runtime is done. */
const HELLO_MS = 30_000;
const SIGKILL = 9;
const SIGUSR1 = 10;
/** What of the daemon's environment an OCI runtime may need: systemd's bus, and the programs of hooks. */
const RUNTIME_ENV = ['PATH', 'DBUS_SYSTEM_BUS_ADDRESS', 'XDG_RUNTIME_DIR'];

/**
 * Starts a container under a shim of its own and resolves when its init runs.
 * Where the runtime refuses, the error is the runtime's own sentence and nothing
 * is left; the same when `signal` is aborted meanwhile.
 */
export async function startShim(start: ShimStart, options: { signal?: AbortSignal } = {}): Promise<Shim> {
  options.signal?.throwIfAborted();
  const child = spawnShim(['run', ...runArguments(start)], start.stateDir);
  const report = await reportOf(child, options.signal);
  return followShim(start, child.pid, report.pid);
}

/** The shim of a container that an earlier daemon started; `unavailable` where none answers: read the exit file. */
export async function connectShim(stateDir: string): Promise<Shim> {
  const connection = await connectSocket(stateDir);
  try {
    const greeting = connection.hello();
    if (!(await within(greeting, HELLO_MS, new AbortController().signal)))
      throw new SkiffError('unavailable', `connect to the shim: no answer for ${HELLO_MS / 1000} s`);
    const { shimPid, containerPid } = await greeting;
    return new ShimClient({ stateDir, shimPid, containerPid }, { connection });
  } catch (cause) {
    connection.close();
    throw SkiffError.from(cause, '', 'unavailable');
  }
}

/** What the shim wrote when the container ended; undefined = it has not ended, or nobody saw it. */
export async function readExitRecord(exitFile: string): Promise<ExitRecord | undefined> {
  const json = await readFileIfThere(exitFile);
  if (json === undefined) return undefined;
  try {
    const { exitCode, finishedAt, oomKilled } = JSON.parse(json);
    return { exitCode: Number(exitCode), finishedAt: String(finishedAt), oomKilled: oomKilled === true };
  } catch (cause) {
    throw SkiffError.from(cause, `read exit record ${exitFile}`, 'data_loss');
  }
}

/** Namespace files to enter, null = the host's; `cgroup`: directory of the cgroup to join, null = the daemon's. */
export interface PodInit {
  net: string | null;
  ipc: string | null;
  uts: string | null;
  cgroup?: string | null;
  /** Gets the init's pid before the caller does: a daemon that dies in between finds it by `findPodInit`. */
  pidFile: string;
}

/**
 * Starts pid 1 of a PID namespace that a pod's containers share: it reaps, has
 * no rights and sees no files. It is not a child of this process and runs on
 * without it; killing it ends all in its namespace.
 */
export async function startPodInit(init: PodInit): Promise<{ pid: number; startTime: string }> {
  const { net, ipc, uts, cgroup = null, pidFile } = init;
  const args = Object.entries({ net, ipc, uts, cgroup, 'pid-file': pidFile }).flatMap(([name, path]) =>
    path === null ? [] : [`--${name}`, path],
  );
  const { pid } = await reportOf(spawnShim(['init', ...args], '/'));
  const started = await startTime(pid);
  if (started === undefined) throw new SkiffError('internal', "start the pod's init: it has ended already");
  return { pid, startTime: started };
}

/** The init that `startPodInit` made with this pid file, where it still runs. */
export async function findPodInit(pidFile: string): Promise<{ pid: number; startTime: string } | undefined> {
  const pid = Number((await readFileIfThere(pidFile)) ?? 0);
  if (pid === 0) return undefined;
  // The pid may be another process's by now.
  const name = await readFileIfThere(`/proc/${pid}/comm`);
  const started = name === 'skiff-init\n' ? await startTime(pid) : undefined;
  if (started === undefined) return undefined;
  const init = { pid, startTime: started };
  return (await isAlive(init)) ? init : undefined;
}

function runArguments(start: ShimStart): string[] {
  return [
    ...['--id', start.id, '--bundle', start.bundle, '--exit-file', start.exitFile],
    ...(start.logPath === '' ? [] : ['--log', start.logPath]),
    ...['--max-line', String(start.maxLine)],
    ...(start.tty ? ['--tty'] : []),
    ...(start.stdin ? ['--stdin'] : []),
    ...(start.stdinOnce ? ['--stdin-once'] : []),
    ...['--', start.runtime, ...start.runtimeArgs],
  ];
}

interface StartedChild {
  pid: number;
  report: number;
  /** Resolves when the process has ended and is reaped. */
  ended: Promise<unknown>;
  /** Nothing where it has ended. */
  signal(signal: number): void;
}

function spawnShim(args: string[], cwd: string): StartedChild {
  const file = artefact('skiff-shim');
  try {
    const child = native().spawn({
      file,
      argv: ['skiff-shim', ...args],
      env: RUNTIME_ENV.filter((name) => process.env[name] !== undefined).map(
        (name) => `${name}=${process.env[name]}`,
      ),
      cwd,
      stdio: ['null', 'null', 'null', 'pipe'],
      setsid: true,
      netns: null,
      dieWithParent: false,
    });
    return startedChild(child);
  } catch (cause) {
    throw SkiffError.from(cause, `start ${file} in ${cwd}`);
  }
}

function startedChild({ pid, pidfd, fds }: Spawned): StartedChild {
  let reaped = false;
  const ended = native()
    .waitPid(pidfd)
    .finally(() => {
      reaped = true;
      native().close(pidfd);
    });
  return {
    pid,
    report: fds[3] as number,
    ended,
    signal: (signal) => {
      if (!reaped) native().pidfdSendSignal(pidfd, signal);
    },
  };
}

/** What the shim reports on its fd 3, one line of JSON. */
async function reportOf(child: StartedChild, signal?: AbortSignal): Promise<{ pid: number }> {
  const pipe = new Socket({ fd: child.report, readable: true, writable: false });
  let timer: NodeJS.Timeout | undefined;
  const cancel = () => {
    child.signal(SIGUSR1);
    timer = setTimeout(() => child.signal(SIGKILL), CANCEL_MS);
  };
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    const line = await text(pipe);
    const report = line === '' ? { error: 'the shim ended without a word' } : JSON.parse(line);
    if (typeof report.pid === 'number') return report;
    await child.ended;
    signal?.throwIfAborted();
    throw new SkiffError('unknown', String(report.error));
  } catch (cause) {
    throw SkiffError.from(cause, signal?.aborted ? 'start container' : '');
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', cancel);
    pipe.destroy();
  }
}

/** Connects to a shim that has just reported. A container may have ended in the meantime, and its shim with it. */
async function followShim(start: ShimStart, shimPid: number, containerPid: number): Promise<Shim> {
  const options = { stateDir: start.stateDir, shimPid, containerPid };
  try {
    return await connectShim(start.stateDir);
  } catch (cause) {
    const record = await readExitRecord(start.exitFile);
    if (record === undefined) throw cause;
    return new ShimClient(options, { connection: null, record });
  }
}

interface ShimClientOptions {
  stateDir: string;
  shimPid: number;
  containerPid: number;
}

class ShimClient implements Shim {
  readonly shimPid: number;
  readonly containerPid: number;
  readonly exited: Promise<ExitRecord | null>;
  readonly #stateDir: string;
  /** Null: the container had ended before there was one. */
  readonly #connection: ShimConnection | null;

  constructor(
    options: ShimClientOptions,
    deps: { connection: ShimConnection } | { connection: null; record: ExitRecord },
  ) {
    this.shimPid = options.shimPid;
    this.containerPid = options.containerPid;
    this.#stateDir = options.stateDir;
    this.#connection = deps.connection;
    this.exited =
      deps.connection === null ? Promise.resolve(deps.record) : deps.connection.exited.then(recordOf);
  }

  async kill(signal: number, all: boolean): Promise<void> {
    if (this.#connection === null || this.#connection.ended) return;
    const refused = await this.#connection.request({ type: 'kill', signal, all });
    if (refused === 'ESRCH' || refused === undefined) return;
    const code = refused === 'EINVAL' ? 'invalid_argument' : 'internal';
    throw new SkiffError(code, `send signal ${signal} to the container: ${refused}`);
  }

  async reopenLog(): Promise<void> {
    const refused = await this.#request({ type: 'reopenLog' });
    if (refused !== undefined)
      throw new SkiffError('internal', `reopen the container's log: ${refused}; see its directory`);
  }

  async lostLogBytes(): Promise<number> {
    return (await this.#connected('ask for lost log lines').hello()).lostLogBytes;
  }

  async resize(width: number, height: number): Promise<void> {
    const refused = await this.#request({ type: 'resize', width, height });
    if (refused !== undefined)
      throw new SkiffError('failed_precondition', `resize the container's terminal: ${refused}`);
  }

  async closeStdin(): Promise<void> {
    await this.#request({ type: 'closeStdin' });
  }

  attach(streams: AttachStreams): Promise<Attachment> {
    return attachShim(this.#stateDir, streams);
  }

  disconnect(): void {
    this.#connection?.close();
  }

  async #request(request: ShimRequest): Promise<string | undefined> {
    return this.#connected(request.type).request(request);
  }

  #connected(action: string): ShimConnection {
    if (this.#connection === null || this.#connection.ended)
      throw new SkiffError('unavailable', `${action}: the container has ended`);
    return this.#connection;
  }
}

function recordOf(exit: Exit | null): ExitRecord | null {
  if (exit === null) return null;
  return { exitCode: exit.exitCode, finishedAt: exit.finishedAt, oomKilled: exit.oomKilled };
}
