import { errnoOf, SkiffError } from '../../base/errors.ts';
import { type Decoder, native } from '../../os/native.ts';

export type Compression = 'none' | 'gzip' | 'zstd';

const MAGIC_BYTES = 4;
const ZSTD_MAGIC = 0xfd2f_b528;
/** Skippable frames have any of sixteen magic numbers (RFC 8878, section 3.1.2). */
const SKIPPABLE_MAGIC = 0x184d_2a50;
/** Packed bytes that are gathered for one run: a run goes to another thread, which costs more than to copy them. */
const GATHER = 128 << 10;
const CHUNK = 512 << 10;

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
 * the next one is asked for: its buffer is used again. While the reader works on one chunk, another
 * thread decompresses the next.
 */
export async function* inflate(source: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array> {
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
    else yield* decompressed(compression, whole, what);
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
  what: string,
): AsyncGenerator<Uint8Array> {
  const inflater = new Inflater(source, native().openDecoder(compression === 'zstd'), what);
  const [even, odd] = [Buffer.allocUnsafeSlow(CHUNK), Buffer.allocUnsafeSlow(CHUNK)];
  let ahead = inflater.fill(even);
  try {
    for (let turn = 1; ; turn++) {
      const chunk = await ahead;
      if (chunk.length === 0) return;
      ahead = inflater.fill(turn % 2 === 0 ? even : odd);
      // Told when it is waited for; until then the reader may fail first.
      ahead.catch(() => undefined);
      yield chunk;
    }
  } finally {
    // The decoder must not be freed under a run.
    await ahead.catch(() => undefined);
    inflater.close();
  }
}

/** A decoder with its input. */
class Inflater {
  readonly #source: AsyncGenerator<Uint8Array>;
  readonly #decoder: Decoder;
  readonly #what: string;
  readonly #gathered = Buffer.allocUnsafeSlow(GATHER);
  /** What of `#gathered` is still to be decoded. */
  #input: Buffer = Buffer.alloc(0);
  /** What came from the source and had no room. */
  #chunk: Uint8Array = this.#input;
  #sourceEnded = false;
  #complete = false;

  constructor(source: AsyncGenerator<Uint8Array>, decoder: Decoder, what: string) {
    this.#source = source;
    this.#decoder = decoder;
    this.#what = what;
  }

  /** Decompresses into `output`: the part that was filled, empty at the end. */
  async fill(output: Buffer): Promise<Buffer> {
    for (;;) {
      if (this.#input.length === 0) await this.#gather();
      const last = this.#input.length === 0;
      const { consumed, produced, ended } = await this.#decode(output);
      this.#input = this.#input.subarray(consumed);
      this.#complete = ended;
      if (produced > 0) return output.subarray(0, produced);
      if (!last) continue;
      if (this.#complete) return output.subarray(0, 0);
      throw new SkiffError('data_loss', `unpack ${this.#what}: the packed data end too early`);
    }
  }

  close(): void {
    native().closeDecoder(this.#decoder);
  }

  async #gather(): Promise<void> {
    let length = 0;
    while (length < GATHER) {
      if (this.#chunk.byteLength === 0) {
        if (this.#sourceEnded) break;
        const next = await this.#source.next();
        this.#sourceEnded = next.done === true;
        if (!next.done) this.#chunk = next.value;
        continue;
      }
      const part = this.#chunk.subarray(0, GATHER - length);
      this.#gathered.set(part, length);
      length += part.byteLength;
      this.#chunk = this.#chunk.subarray(part.byteLength);
    }
    this.#input = this.#gathered.subarray(0, length);
  }

  async #decode(output: Buffer) {
    try {
      return await native().decode(this.#decoder, this.#input, output);
    } catch (cause) {
      if (errnoOf(cause) !== 'EBADMSG') throw SkiffError.from(cause, `unpack ${this.#what}`);
      throw new SkiffError('data_loss', `unpack ${this.#what}: the packed data are damaged`, { cause });
    }
  }
}
