import { SkiffError } from '../../base/errors.ts';

/** Size of a header and unit of everything in an archive (POSIX.1-2017, pax, "ustar Interchange Format"). */
export const BLOCK = 512;

/** A header block, field by field. Text is latin1, one character per byte. */
export interface RawHeader {
  name: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Seconds since the epoch, may be negative. */
  mtime: number;
  /** The type flag as it stands there; '0' for the NUL of old archives. */
  type: string;
  linkname: string;
  deviceMajor: number;
  deviceMinor: number;
}

const CHECKSUM_AT = 148;
const CHECKSUM_LENGTH = 8;
const SPACE = 32;
const ZEROS = Buffer.alloc(BLOCK);

/** True for a block of zeros: two of them end an archive. */
export function isZero(block: Buffer): boolean {
  return block[0] === 0 && block.equals(ZEROS);
}

/** Reads a header block; `data_loss` where its checksum is wrong, so that nothing else is taken for an archive. */
export function readHeader(block: Buffer): RawHeader {
  checkSum(block);
  const magic = block.toString('latin1', 257, 263);
  const posix = magic === 'ustar\0';
  const prefix = posix ? text(block, 345, prefixLength(block)) : '';
  const name = text(block, 0, 100);
  const whole = prefix === '' ? name : `${prefix}/${name}`;
  const flag = block[156] ?? 0;
  const old = flag === 0;
  const type = old ? (whole.endsWith('/') ? '5' : '0') : String.fromCharCode(flag);
  const known = magic.startsWith('ustar');
  return {
    name: whole,
    mode: number(block, 100, 8) & 0o7777,
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    size: number(block, 124, 12),
    mtime: number(block, 136, 12),
    type,
    linkname: text(block, 157, 100),
    deviceMajor: known ? number(block, 329, 8) : 0,
    deviceMinor: known ? number(block, 337, 8) : 0,
  };
}

/** A number in octal digits, or in base 256 where the first bit is set (a GNU form, big-endian, two's complement). */
export function number(block: Buffer, at: number, length: number): number {
  const first = block[at] ?? 0;
  if ((first & 0x80) !== 0) return base256(block, at, length);
  let value = 0;
  let index = at;
  const end = at + length;
  while (index < end && (block[index] === SPACE || block[index] === 0)) index++;
  for (; index < end; index++) {
    const digit = (block[index] ?? 0) - 48;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  const after = block[index];
  if (index < end && after !== 0 && after !== SPACE) throw damaged('a number in a header is none');
  return value;
}

function base256(block: Buffer, at: number, length: number): number {
  const negative = (block[at] ?? 0) >= 0xc0;
  let value = negative ? -1n : BigInt((block[at] ?? 0) & 0x7f);
  for (let index = at + 1; index < at + length; index++) value = (value << 8n) | BigInt(block[index] ?? 0);
  const small = Number(value);
  if (!Number.isSafeInteger(small)) throw damaged('a number in a header is too large');
  return small;
}

/** star keeps times behind a shorter prefix, and marks its headers at their end. */
function prefixLength(block: Buffer): number {
  return block.toString('latin1', 508, 512) === 'tar\0' ? 131 : 155;
}

function text(block: Buffer, at: number, length: number): string {
  let end = at;
  while (end < at + length && block[end] !== 0) end++;
  return block.toString('latin1', at, end);
}

/** With the checksum's own field as spaces. Old archivers summed signed bytes. */
function checkSum(block: Buffer): void {
  const noted = Number.parseInt(text(block, CHECKSUM_AT, CHECKSUM_LENGTH), 8);
  if (noted !== sumOf(block) && noted !== sumOf(new Int8Array(block.buffer, block.byteOffset, BLOCK)))
    throw damaged('the checksum of a header is wrong; this is no tar archive, or a damaged one');
}

function sumOf(bytes: Uint8Array | Int8Array): number {
  let sum = SPACE * CHECKSUM_LENGTH;
  for (let index = 0; index < BLOCK; index++) sum += bytes[index] as number;
  for (let index = CHECKSUM_AT; index < CHECKSUM_AT + CHECKSUM_LENGTH; index++) sum -= bytes[index] as number;
  return sum;
}

export function damaged(why: string): SkiffError {
  return new SkiffError('data_loss', `read tar archive: ${why}`);
}
