import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { ReadStream } from 'node:tty';
import { errnoOf } from '../base/errors.ts';
import { type Child, endOf, inheritedEnv } from './child.ts';
import { native } from './native.ts';

/** A program on a pseudoterminal of its own: what it writes is all `stdout`. */
export interface TerminalChild extends Child {
  stdin: Writable;
  stdout: Socket;
  stderr: null;
  /** In characters; nothing where the terminal is gone or a number is no size. */
  resize(width: number, height: number): void;
  /** Closes the terminal: its programs get SIGHUP. */
  hangUp(): void;
}

/** Of node-pty, the part that makes pseudoterminals. */
interface PtyNative {
  open(columns: number, rows: number): { master: number; slave: number; pty: string };
  resize(master: number, columns: number, rows: number): void;
}

/** As terminals are until they say their size. */
const SIZE = { width: 80, height: 24 };
const MAX_SIZE = 0xffff;
/** Unix98 slaves, Documentation/admin-guide/devices.txt. */
const PTS_MAJORS = [136, 137, 138, 139, 140, 141, 142, 143];
/** How long a program that does not read its terminal is left alone before the rest is offered again. */
const RETRY_MS = { first: 5, longest: 100 };

/**
 * Starts a program with a terminal as stdin and stdout, and /dev/null as stderr;
 * it leads a session of which that is the controlling terminal. The terminal is
 * raw: the program at its other end (`runc exec -t`) has one of its own that
 * edits lines. Where this process dies, the terminal is closed.
 *
 * node-pty makes the terminal only. Its own spawn() forks all of this process,
 * reads with a limit of 200 ms after the program's end, and writes from a queue
 * without a bound.
 */
export function startOnTerminal(file: string, args: string[]): TerminalChild {
  const pty = ptyNative();
  const { master, slave, pty: name } = pty.open(SIZE.width, SIZE.height);
  native().setCloexec(master);
  native().setCloexec(slave);
  const screen = new ReadStream(master);
  screen.pause();
  screen.setRawMode(true);
  // EIO is how a terminal tells that nobody is left at the other end.
  screen.on('error', () => undefined);
  try {
    return {
      ...start(file, args, name),
      stdin: new Keyboard(master, screen),
      stdout: screen,
      stderr: null,
      resize: (width, height) => {
        if (isSize(width) && isSize(height) && !screen.destroyed) pty.resize(master, width, height);
      },
      hangUp: () => screen.destroy(),
    };
  } catch (cause) {
    screen.destroy();
    throw cause;
  } finally {
    closeSync(slave);
  }
}

/** The same for the terminal that another process has as its stdin; nothing where it has none, or is gone. */
export async function resizeStdin(pid: number, width: number, height: number): Promise<void> {
  const path = `/proc/${pid}/fd/0`;
  if (!isSize(width) || !isSize(height)) return;
  try {
    // It may be anything that a container can get: only a pseudoterminal is opened.
    if (!PTS_MAJORS.includes(major((await stat(path)).rdev))) return;
    const { O_RDWR, O_NOCTTY, O_NONBLOCK } = constants;
    await using terminal = await open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
    ptyNative().resize(terminal.fd, width, height);
  } catch {
    // It has ended, or closed its terminal.
  }
}

function isSize(value: number): boolean {
  return Number.isInteger(value) && value > 0 && value <= MAX_SIZE;
}

function major(device: number): number {
  return (device >>> 8) & 0xfff;
}

/** Loaded when the first terminal is wanted. */
function ptyNative(): PtyNative {
  return (createRequire(import.meta.url)('node-pty') as { native: PtyNative }).native;
}

function start(file: string, args: string[], terminal: string): Pick<Child, 'pid' | 'ended'> {
  // Opened anew: node-pty's own end does not block, which the program would inherit and not expect.
  const end = openSync(terminal, constants.O_RDWR | constants.O_NOCTTY);
  try {
    const child = native().spawn({
      file,
      argv: [file, ...args],
      env: inheritedEnv(),
      cwd: null,
      stdio: [end, end, 'null'],
      setsid: true,
      netns: null,
      dieWithParent: false,
    });
    return { pid: child.pid, ended: endOf(child) };
  } finally {
    closeSync(end);
  }
}

/**
 * What is typed. Libuv would block the process on a terminal that is not read,
 * so this writes by itself, to a descriptor that does not block: at once, never
 * from another thread, where the number might be another file's by then.
 */
class Keyboard extends Writable {
  readonly #master: number;
  readonly #screen: ReadStream;
  #timer: NodeJS.Timeout | undefined;

  constructor(master: number, screen: ReadStream) {
    super();
    this.#master = master;
    this.#screen = screen;
    this.on('error', () => undefined);
    screen.once('close', () => this.destroy());
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#type(chunk, RETRY_MS.first, done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#timer);
    done(error);
  }

  #type(bytes: Buffer, wait: number, done: (error?: Error | null) => void): void {
    let left = bytes;
    while (left.length > 0) {
      const taken = this.#try(left);
      if (taken instanceof Error) {
        done(taken);
        return;
      }
      if (taken === 0) {
        const next = left === bytes ? Math.min(wait * 2, RETRY_MS.longest) : RETRY_MS.first;
        const rest = left;
        this.#timer = setTimeout(() => this.#type(rest, next, done), wait);
        return;
      }
      left = left.subarray(taken);
    }
    done();
  }

  #try(bytes: Buffer): number | Error {
    if (this.#screen.destroyed) return new Error('the terminal is closed');
    try {
      return writeSync(this.#master, bytes);
    } catch (cause) {
      return errnoOf(cause) === 'EAGAIN' ? 0 : (cause as Error);
    }
  }
}
