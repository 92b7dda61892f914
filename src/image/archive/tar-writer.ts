import { createReadStream } from 'node:fs';
import { BLOCK } from '../layer/tar-header.ts';

/** A file to be archived: its content, or where that lies. */
export type Archived = { name: string; content: Buffer } | { name: string; file: string; size: number };

const MAX_OCTAL = 8 ** 11;

/** A ustar archive of plain files, the same for the same files: no times, no owners. Names of at most 100 bytes. */
export async function* writeArchive(files: Archived[]): AsyncGenerator<Buffer> {
  for (const entry of files) {
    const size = 'file' in entry ? entry.size : entry.content.length;
    yield header(entry.name, size);
    if ('content' in entry) yield entry.content;
    else if (size > 0)
      yield* createReadStream(entry.file, { highWaterMark: 1 << 18 }) as AsyncIterable<Buffer>;
    yield Buffer.alloc(-size & (BLOCK - 1));
  }
  yield Buffer.alloc(2 * BLOCK);
}

function header(name: string, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  block.write(name, 0, 100, 'latin1');
  octal(0o644, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  if (size < MAX_OCTAL) octal(size, 124, 12);
  else {
    block.writeUInt8(0x80, 124);
    block.writeBigUInt64BE(BigInt(size), 128);
  }
  octal(0, 136, 12);
  block.write('0', 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
