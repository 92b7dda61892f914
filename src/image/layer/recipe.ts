import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { constants, zstdCompressSync } from 'node:zlib';
import { errnoOf, SkiffError } from '../../base/errors.ts';
import { bytesOf, type SparsePart, showPath } from '../../os/layer-entry.ts';
import { AT_FDCWD, native, O_PATH, RESOLVE } from '../../os/native.ts';
import { inflate } from './inflate.ts';

/**
 * How the archive of a layer is put together again, byte for byte: everything of it but the content of
 * its files, which lies in the layer's directory anyway. So a layer keeps its diff id, and with it the image
 * its id, on the way through an export; and whether a layer on disk is what was pulled can be asked of its digest.
 *
 * The file is zstd frames, one after another, of records:
 *
 *     'R' length:u32 bytes            as they stand in the archive
 *     'F' length:u32 path parts:u32 { offset:u48 length:u48 }    content of that file of the layer
 *
 * Numbers are big-endian; paths are bytes, relative to the layer, and lead through no link.
 */
const RAW = 0x52;
const FILE = 0x46;
const U32 = 4;
const U48 = 6;
const CHUNK = 256 << 10;
const MAX_RECORD = 1 << 24;
/** Headers are zeros and repetitions: the fastest level makes a twentieth of them. */
const FASTEST = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** Writes a recipe while its archive goes by. Synchronous: for worker threads. */
export class RecipeWriter {
  readonly #fd: number;
  readonly #pending = Buffer.allocUnsafeSlow(CHUNK);
  #length = 0;
  /** Where the raw record that is being made begins, -1 = none. */
  #raw = -1;

  constructor(file: string) {
    this.#fd = openSync(file, 'wx', 0o600);
  }

  raw(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#raw < 0) this.#begin();
      const copied = bytes.copy(this.#pending, this.#length, at);
      this.#length += copied;
      at += copied;
      if (this.#length === CHUNK) this.#flush();
    }
  }

  /** `parts`: what of the file stands in the archive, in order. */
  file(path: string, parts: SparsePart[]): void {
    const name = bytesOf(path);
    const record = Buffer.alloc(1 + U32 + name.length + U32 + parts.length * 2 * U48);
    let at = record.writeUInt8(FILE, 0);
    at = record.writeUInt32BE(name.length, at);
    at += name.copy(record, at);
    at = record.writeUInt32BE(parts.length, at);
    for (const { offset, length } of parts)
      at = record.writeUIntBE(length, record.writeUIntBE(offset, at, U48), U48);
    this.#endRaw();
    if (this.#length + record.length > CHUNK) this.#flush();
    if (record.length > CHUNK) this.#write(record);
    else this.#length += record.copy(this.#pending, this.#length);
  }

  end(): void {
    this.#flush();
  }

  close(): void {
    closeSync(this.#fd);
  }

  #begin(): void {
    if (this.#length + 1 + U32 >= CHUNK) this.#flush();
    this.#raw = this.#length;
    this.#pending.writeUInt8(RAW, this.#length);
    this.#length += 1 + U32;
  }

  #endRaw(): void {
    if (this.#raw < 0) return;
    this.#pending.writeUInt32BE(this.#length - this.#raw - 1 - U32, this.#raw + 1);
    this.#raw = -1;
  }

  #flush(): void {
    this.#endRaw();
    if (this.#length > 0) this.#write(this.#pending.subarray(0, this.#length));
    this.#length = 0;
  }

  #write(bytes: Buffer): void {
    const packed = zstdCompressSync(bytes, FASTEST);
    for (let done = 0; done < packed.length; ) done += writeSync(this.#fd, packed, done);
  }
}

/**
 * The archive of the layer in `directory`, as its recipe says. A chunk is good until the next one is asked
 * for. `data_loss` where a file is not there or too short; whether its bytes are right, the archive's digest tells.
 */
export async function* assemble(recipe: string, directory: string): AsyncGenerator<Uint8Array> {
  const root = native().openat2(AT_FDCWD, directory, O_PATH, 0, 0);
  const buffer = Buffer.allocUnsafeSlow(CHUNK);
  try {
    for await (const record of records(recipe))
      if (record.kind === 'raw') yield record.bytes;
      else yield* contentOf(root, record, buffer);
  } finally {
    native().close(root);
  }
}

type Record = { kind: 'raw'; bytes: Buffer } | { kind: 'file'; path: Buffer; parts: SparsePart[] };

async function* records(file: string): AsyncGenerator<Record> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of inflate(chunksOf(file), { what: `recipe ${file}`, ahead: () => false })) {
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    for (;;) {
      const read = readRecord(rest);
      if (read === undefined) break;
      rest = rest.subarray(read.length);
      yield read.record;
    }
    if (rest.length > MAX_RECORD) throw damaged(file);
  }
  if (rest.length > 0) throw damaged(file);
}

/** The first record of `bytes`, undefined while it is not whole. */
function readRecord(bytes: Buffer): { record: Record; length: number } | undefined {
  const head = 1 + U32;
  if (bytes.length < head) return undefined;
  const body = head + bytes.readUInt32BE(1);
  if (bytes[0] === RAW) {
    if (bytes.length < body) return undefined;
    return { record: { kind: 'raw', bytes: bytes.subarray(head, body) }, length: body };
  }
  if (bytes[0] !== FILE) throw damaged('of a layer');
  if (bytes.length < body + U32) return undefined;
  const count = bytes.readUInt32BE(body);
  const length = body + U32 + count * 2 * U48;
  if (bytes.length < length) return undefined;
  const parts = Array.from({ length: count }, (_, index) => {
    const at = body + U32 + index * 2 * U48;
    return { offset: bytes.readUIntBE(at, U48), length: bytes.readUIntBE(at + U48, U48) };
  });
  return { record: { kind: 'file', path: bytes.subarray(head, body), parts }, length };
}

function* contentOf(
  root: number,
  { path, parts }: { path: Buffer; parts: SparsePart[] },
  buffer: Buffer,
): Generator<Buffer> {
  const fd = openFile(root, path);
  try {
    for (const { offset, length } of parts)
      for (let done = 0; done < length; ) {
        const read = readSync(fd, buffer, 0, Math.min(buffer.length, length - done), offset + done);
        if (read === 0) throw lost(path, 'is too short');
        done += read;
        yield buffer.subarray(0, read);
      }
  } finally {
    native().close(fd);
  }
}

function openFile(root: number, path: Buffer): number {
  try {
    return native().openat2(root, path, 0, 0, RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS);
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoOf(cause) ?? '')) throw lost(path, 'is not there');
    throw cause;
  }
}

async function* chunksOf(file: string): AsyncGenerator<Uint8Array> {
  const fd = openSync(file, 'r');
  try {
    for (;;) {
      const chunk = Buffer.allocUnsafe(64 << 10);
      const read = readSync(fd, chunk);
      if (read === 0) return;
      yield chunk.subarray(0, read);
    }
  } finally {
    closeSync(fd);
  }
}

function lost(path: Buffer, what: string): SkiffError {
  return new SkiffError('data_loss', `${showPath(path.toString('latin1'))} ${what}`);
}

function damaged(what: string): SkiffError {
  return new SkiffError('data_loss', `read recipe ${what}: it is damaged`);
}
