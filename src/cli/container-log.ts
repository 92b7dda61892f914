import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf, SkiffError } from '../base/errors.ts';

/**
 * Reads a container's log as the kubelet and crictl do. A line is
 * `<RFC 3339 time> stdout|stderr P|F <bytes>`; P marks a piece of a long line
 * that goes on (cri-api, ContainerConfig.log_path; design proposal
 * "CRI container stdout/stderr logs").
 */
export interface LogEntry {
  time: string;
  stream: 'stdout' | 'stderr';
  /** The line goes on in the next entry of the same stream. */
  partial: boolean;
  message: Buffer;
}

const NEWLINE = 0x0a;
const SPACE = 0x20;
const CHUNK = 64 * 1024;
/** A watcher may miss what happens on a network file system. */
const POLL_MS = 500;

/** One line without its newline; undefined where it is no log line. */
export function parseLogLine(line: Buffer): LogEntry | undefined {
  const first = line.indexOf(SPACE);
  const second = line.indexOf(SPACE, first + 1);
  const third = line.indexOf(SPACE, second + 1);
  if (first < 1 || second < 0) return undefined;
  const stream = line.toString('latin1', first + 1, second);
  if (stream !== 'stdout' && stream !== 'stderr') return undefined;
  const tags = line.toString('latin1', second + 1, third < 0 ? line.length : third);
  const tag = tags.split(':')[0];
  if (tag !== 'P' && tag !== 'F') return undefined;
  return {
    time: line.toString('latin1', 0, first),
    stream,
    partial: tag === 'P',
    message: third < 0 ? Buffer.alloc(0) : line.subarray(third + 1),
  };
}

export interface LogOptions {
  path: string;
  /** Only the last so many lines of what is there; undefined = all. */
  tail?: number;
  /** Go on until this is aborted, across rotations; what was written by then is still read. Undefined = stop at the end. */
  follow?: AbortSignal;
}

/** The entries of a log file. */
export async function* readLog({ path, tail, follow }: LogOptions): AsyncGenerator<LogEntry> {
  const changes = follow === undefined ? undefined : new Changes(dirname(path), follow);
  let file = await openLog(path, changes);
  if (file === undefined) return;
  const lines = new Lines();
  try {
    let position = tail === undefined ? 0 : await tailPosition(file, tail);
    for (;;) {
      const ending = changes === undefined || changes.ended;
      const read = await readFrom(file, position);
      position += read.length;
      yield* lines.push(read);
      if (read.length > 0) continue;
      const next = await replaced(file, position, path);
      if (next === 'no') {
        if (ending) return;
        await changes.next();
        continue;
      }
      // Whoever wrote to the old file has left it by now, but perhaps after the last read.
      yield* lines.push(await readFrom(file, position));
      if (next !== 'truncated') {
        await file.close();
        file = next;
      }
      position = 0;
    }
  } finally {
    changes?.stop();
    await file.close();
  }
}

/** Cuts bytes into lines; an unfinished line waits for its rest. */
class Lines {
  #rest: Buffer[] = [];

  *push(chunk: Buffer): Generator<LogEntry> {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const entry = parseLogLine(Buffer.concat([...this.#rest, chunk.subarray(start, end)]));
      this.#rest = [];
      start = end + 1;
      if (entry !== undefined) yield entry;
    }
    if (start < chunk.length) this.#rest.push(chunk.subarray(start));
  }
}

/** Wakes a reader when something happened in a directory, now and then anyway, and at the end. */
class Changes {
  readonly #signal: AbortSignal;
  readonly #watcher: FSWatcher | undefined;
  readonly #timer: NodeJS.Timeout;
  #wake = Promise.withResolvers<void>();

  constructor(directory: string, signal: AbortSignal) {
    this.#signal = signal;
    const wake = () => this.#wake.resolve();
    this.#timer = setInterval(wake, POLL_MS);
    signal.addEventListener('abort', wake, { once: true });
    try {
      this.#watcher = watch(directory, wake);
      this.#watcher.on('error', () => {});
    } catch {
      this.#watcher = undefined;
    }
  }

  get ended(): boolean {
    return this.#signal.aborted;
  }

  /** Resolves at the first change since the last call. */
  async next(): Promise<void> {
    if (this.ended) return;
    await this.#wake.promise;
    this.#wake = Promise.withResolvers();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#watcher?.close();
  }
}

async function openLog(path: string, changes: Changes | undefined): Promise<FileHandle | undefined> {
  for (;;) {
    const ended = changes === undefined || changes.ended;
    try {
      return await open(path, 'r');
    } catch (cause) {
      if (errnoOf(cause) !== 'ENOENT' || ended) {
        changes?.stop();
        if (errnoOf(cause) === 'ENOENT' && changes !== undefined) return undefined;
        throw SkiffError.from(cause, `read log ${path}`);
      }
      await changes.next();
    }
  }
}

async function readFrom(file: FileHandle, position: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(CHUNK);
  const { bytesRead } = await file.read(buffer, 0, CHUNK, position);
  return buffer.subarray(0, bytesRead);
}

/** What became of the file that was read up to `position`: the new one at its path, cut down to nothing, or the same. */
async function replaced(
  file: FileHandle,
  position: number,
  path: string,
): Promise<FileHandle | 'truncated' | 'no'> {
  const mine = await file.stat();
  if (mine.size < position) return 'truncated';
  try {
    const there = await stat(path);
    return there.ino === mine.ino && there.dev === mine.dev ? 'no' : await open(path, 'r');
  } catch (cause) {
    // Between the rename and the reopening there is no file at the path.
    if (errnoOf(cause) === 'ENOENT') return 'no';
    throw cause;
  }
}

/** Where the last `count` whole lines start. */
async function tailPosition(file: FileHandle, count: number): Promise<number> {
  const { size } = await file.stat();
  for (let span = Math.min(size, CHUNK); ; span = Math.min(size, span * 2)) {
    const buffer = Buffer.allocUnsafe(span);
    const { bytesRead } = await file.read(buffer, 0, span, size - span);
    const offset = lastLines(buffer.subarray(0, bytesRead), count);
    if (offset !== undefined) return size - span + offset;
    if (span === size) return 0;
  }
}

/** Where in `buffer` the last `count` lines start; undefined where the buffer has no more than these. */
function lastLines(buffer: Buffer, count: number): number | undefined {
  let found = 0;
  let end = buffer.lastIndexOf(NEWLINE);
  if (count === 0) return end + 1;
  while (end >= 0) {
    const before = end === 0 ? -1 : buffer.lastIndexOf(NEWLINE, end - 1);
    const entry = parseLogLine(buffer.subarray(before + 1, end));
    // A whole line ends here: the lines after it are complete.
    if (entry?.partial === false) {
      if (found === count) return end + 1;
      found++;
    }
    end = before;
  }
  return undefined;
}
