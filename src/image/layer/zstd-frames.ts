import { SkiffError } from '../../base/errors.ts';

const ZSTD_MAGIC = 0xfd2f_b528;
const SKIPPABLE_MAGIC = 0x184d_2a50;
/** Content size and window take up to this much after magic and descriptor (RFC 8878, section 3.1.1.1). */
const CONTENT_SIZE_BYTES = [0, 2, 4, 8];
const DICTIONARY_BYTES = [0, 1, 2, 4];
const CHECKSUM_BYTES = 4;
const BLOCK_HEADER = 3;
const RLE_BLOCK = 1;

/**
 * The frames of a zstd stream one by one, skippable ones left out (RFC 8878,
 * section 3.1). Node 24 decodes only the first frame of several
 * (nodejs/node #64741), so each gets a decompressor of its own. A frame must be
 * read to its end before the next is asked for.
 */
export async function* splitZstdFrames(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<AsyncGenerator<Uint8Array>> {
  const input = new Input(source);
  while (await input.has(1)) {
    const magic = (await input.peek(4)).readUInt32LE();
    if ((magic & 0xffff_fff0) >>> 0 === SKIPPABLE_MAGIC) {
      const length = (await input.peek(8)).readUInt32LE(4);
      for await (const _ of input.take(8 + length));
    } else if (magic === ZSTD_MAGIC) yield frame(input);
    else throw damaged('what follows a frame is none');
  }
}

async function* frame(input: Input): AsyncGenerator<Uint8Array> {
  const descriptor = (await input.peek(5)).readUInt8(4);
  const single = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  const sizeBytes = sizeFlag === 0 && single ? 1 : (CONTENT_SIZE_BYTES[sizeFlag] ?? 0);
  yield* input.take(5 + (single ? 0 : 1) + (DICTIONARY_BYTES[descriptor & 3] ?? 0) + sizeBytes);
  for (let last = false; !last; ) {
    const header = (await input.peek(BLOCK_HEADER)).readUIntLE(0, BLOCK_HEADER);
    last = (header & 1) !== 0;
    // A block of one repeated byte holds that byte; its size is that of the result.
    const size = ((header >> 1) & 3) === RLE_BLOCK ? 1 : header >> 3;
    yield* input.take(BLOCK_HEADER + size);
  }
  if ((descriptor & 4) !== 0) yield* input.take(CHECKSUM_BYTES);
}

/** Bytes by count, whatever the chunks they come in. */
class Input {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async has(count: number): Promise<boolean> {
    while (this.#chunk.length < count) {
      const next = await this.#source.next();
      if (next.done) return false;
      const more = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
      this.#chunk = this.#chunk.length === 0 ? more : Buffer.concat([this.#chunk, more]);
    }
    return true;
  }

  async peek(count: number): Promise<Buffer> {
    if (!(await this.has(count))) throw damaged('it ends within a frame');
    return this.#chunk;
  }

  async *take(count: number): AsyncGenerator<Uint8Array> {
    for (let left = count; left > 0; ) {
      await this.peek(1);
      const part = this.#chunk.subarray(0, left);
      this.#chunk = this.#chunk.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }
}

function damaged(why: string): SkiffError {
  return new SkiffError('data_loss', `unpack zstd stream: ${why}`);
}
