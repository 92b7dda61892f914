import { errnoOf, SkiffError } from '../../base/errors.ts';
import { type Decoder, native } from '../../os/native.ts';

export type Compression = 'none' | 'gzip' | 'zstd';

const MAGIC_BYTES = 4;
const ZSTD_MAGIC = 0xfd2f_b528;
/** Skippable frames have any of sixteen magic numbers (RFC 8878, section 3.1.2). */
const SKIPPABLE_MAGIC = 0x184d_2a50;
/** Packed bytes that are gathered for one run: it may go to another thread, which costs more than to copy them. */
const GATHER = 256 << 10;
const CHUNK = 512 << 10;
const EMPTY = Buffer.alloc(0);

export interface InflateOptions {
  /** For messages. */
  what: string;
  /**
   * Asked before each run: decompress in another thread while the reader works? Where other
   * layers keep all processors busy, each change of threads is a wait and wins nothing.
   */
  ahead: () => boolean;
}

/** What a blob is packed with, by its first bytes: media types are wrong too often. */
export function compressionOf(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  if (head.length < MAGIC_BYTES) return 'none';
  const magic = Buffer.from(head.subarray(0, MAGIC_BYTES)).readUInt32LE();
  const zstd = magic === ZSTD_MAGIC || (magic & 0xffff_fff0) >>> 0 === SKIPPABLE_MAGIC;
  return zstd ? 'zstd' : 'none';
}

/**
 * The tar stream in a packed layer: plain, gzip (also of several members) or
 * zstd (also of several frames, skippable ones left out). A chunk is good until
 * the next one is asked for: its buffer is used again.
 */
export async function* inflate(
  source: AsyncIterable<Uint8Array>,
  options: InflateOptions,
): AsyncGenerator<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]();
  try {
    const head: Uint8Array[] = [];
    for (let length = 0; length < MAGIC_BYTES; ) {
      const next = await chunks.next();
      if (next.done) break;
      head.push(next.value);
      length += next.value.byteLength;
    }
    const first = Buffer.concat(head);
    const whole = rejoined(first, chunks);
    const compression = compressionOf(first);
    if (compression === 'none') yield* whole;
    else yield* decompressed(compression, whole, options);
  } finally {
    await chunks.return?.();
  }
}

async function* rejoined(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (first.byteLength > 0) yield first;
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
}

async function* decompressed(
  compression: 'gzip' | 'zstd',
  source: AsyncGenerator<Uint8Array>,
  options: InflateOptions,
): AsyncGenerator<Uint8Array> {
  const decoder = native().openDecoder(compression === 'zstd');
  try {
    yield* inTurns(new Gathering(source), decoder, options);
  } finally {
    native().closeDecoder(decoder);
  }
}

/** Two buffers: while the reader has one, the next run fills the other. */
async function* inTurns(
  source: Gathering,
  decoder: Decoder,
  { what, ahead }: InflateOptions,
): AsyncGenerator<Uint8Array> {
  const buffers = [Buffer.allocUnsafeSlow(CHUNK), Buffer.allocUnsafeSlow(CHUNK)];
  const run = async (input: Buffer, output: Buffer) => {
    try {
      return ahead()
        ? await native().decode(decoder, input, output)
        : native().decodeNow(decoder, input, output);
    } catch (cause) {
      throw runError(what, cause);
    }
  };
  const fill = async (turn: number): Promise<Buffer> => {
    const output = buffers[turn % 2] ?? EMPTY;
    for (;;) {
      const input = await source.rest();
      const { consumed, produced, ended } = await run(input, output);
      source.skip(consumed);
      if (produced > 0) return output.subarray(0, produced);
      if (input.length > 0) continue;
      if (!ended) throw tooShort(what);
      return EMPTY;
    }
  };
  let next = fill(0);
  try {
    for (let turn = 1; ; turn++) {
      const chunk = await next;
      if (chunk.length === 0) return;
      next = fill(turn);
      // Told when it is waited for; until then the reader may fail first.
      next.catch(() => undefined);
      yield chunk;
    }
  } finally {
    // The decoder must not be closed under a run.
    await next.catch(() => undefined);
  }
}

/** The source's bytes in large pieces, in one buffer that is used again. */
class Gathering {
  readonly #source: AsyncGenerator<Uint8Array>;
  readonly #buffer = Buffer.allocUnsafeSlow(GATHER);
  #rest: Buffer = EMPTY;
  /** What came from the source and had no room. */
  #chunk: Uint8Array = EMPTY;
  #ended = false;

  constructor(source: AsyncGenerator<Uint8Array>) {
    this.#source = source;
  }

  /** What has not been skipped, or what comes next; empty at the end. */
  async rest(): Promise<Buffer> {
    if (this.#rest.length > 0) return this.#rest;
    let length = 0;
    while (length < GATHER && (this.#chunk.byteLength > 0 || !this.#ended)) {
      if (this.#chunk.byteLength === 0) await this.#next();
      const part = this.#chunk.subarray(0, GATHER - length);
      this.#buffer.set(part, length);
      length += part.byteLength;
      this.#chunk = this.#chunk.subarray(part.byteLength);
    }
    this.#rest = this.#buffer.subarray(0, length);
    return this.#rest;
  }

  skip(count: number): void {
    this.#rest = this.#rest.subarray(count);
  }

  async #next(): Promise<void> {
    const next = await this.#source.next();
    if (next.done) this.#ended = true;
    else this.#chunk = next.value;
  }
}

function runError(what: string, cause: unknown): SkiffError {
  if (errnoOf(cause) !== 'EBADMSG') return SkiffError.from(cause, `unpack ${what}`);
  return new SkiffError('data_loss', `unpack ${what}: the packed data are damaged`, { cause });
}

function tooShort(what: string): SkiffError {
  return new SkiffError('data_loss', `unpack ${what}: the packed data end too early`);
}
