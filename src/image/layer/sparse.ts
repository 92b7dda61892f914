import type { SparsePart } from '../../os/layer-entry.ts';
import type { PaxRecords } from './pax.ts';
import { BLOCK, damaged, number } from './tar-header.ts';

/** The parts of a sparse file that an archive holds, and how long the whole file is. */
export interface SparseMap {
  size: number;
  parts: SparsePart[];
}

/** Of each entry of GNU tar's old map: offset and length. */
const FIELD = 12;
const HEADER_MAP_AT = 386;
const HEADER_PARTS = 4;
const HEADER_MORE_AT = 482;
const HEADER_SIZE_AT = 483;
const EXTENSION_PARTS = 21;
const EXTENSION_MORE_AT = 504;

/** Digits of one number in a map, and numbers in one: more is an attack. */
const MAX_DIGITS = 20;
export const MAX_PARTS = 1 << 20;

/**
 * The map in a header of GNU tar's old format (type `S`; tar manual, "Storing
 * Sparse Files"), and whether a block with more of it follows.
 */
export function oldMap(header: Buffer): { map: SparseMap; more: boolean } {
  const parts = partsOf(header, HEADER_MAP_AT, HEADER_PARTS);
  return {
    map: { size: number(header, HEADER_SIZE_AT, FIELD), parts },
    more: (header[HEADER_MORE_AT] ?? 0) > 0,
  };
}

/** Adds what an extension block says; true where another one follows. */
export function extendOldMap(map: SparseMap, block: Buffer): boolean {
  map.parts.push(...partsOf(block, 0, EXTENSION_PARTS));
  if (map.parts.length > MAX_PARTS) throw damaged('the map of a sparse file has too many parts');
  return (block[EXTENSION_MORE_AT] ?? 0) > 0;
}

function partsOf(block: Buffer, at: number, count: number): SparsePart[] {
  const parts: SparsePart[] = [];
  for (let index = 0; index < count; index++) {
    const from = at + index * 2 * FIELD;
    if (block[from] === 0) break;
    parts.push({ offset: number(block, from, FIELD), length: number(block, from + FIELD, FIELD) });
  }
  return parts;
}

/** The map in pax records of the formats 0.0 and 0.1; undefined where they hold none. */
export function paxMap(pax: PaxRecords): SparseMap | undefined {
  const size = pax['GNU.sparse.size'];
  if (size === undefined) return undefined;
  const numbers =
    pax['GNU.sparse.map'] !== undefined
      ? listOf(pax['GNU.sparse.map'])
      : interleaved(listOf(pax['GNU.sparse.offset'] ?? ''), listOf(pax['GNU.sparse.numbytes'] ?? ''));
  return { size: natural(size), parts: paired(numbers) };
}

/** True for the format 1.0, whose map stands before the data; its file's real length then. */
export function dataMapSize(pax: PaxRecords): number | undefined {
  if (pax['GNU.sparse.major'] !== '1' || pax['GNU.sparse.minor'] !== '0') return undefined;
  return natural(pax['GNU.sparse.realsize'] ?? pax['GNU.sparse.size'] ?? '');
}

/**
 * Reads the map of format 1.0 as its blocks come: the count of parts, then offset and
 * length of each, every number on a line, padded to a whole block.
 */
export class DataMapReader {
  #count: number | undefined;
  readonly #numbers: number[] = [];
  #digits = '';

  /** The parts once they are complete, which they are at a block's end. */
  push(block: Buffer): SparsePart[] | undefined {
    for (const byte of block.subarray(0, BLOCK)) {
      if (this.#complete()) break;
      if (byte === 10) this.#line();
      else this.#digits += String.fromCharCode(byte);
      if (this.#digits.length > MAX_DIGITS) throw damaged('the map of a sparse file holds no numbers');
    }
    return this.#complete() ? paired(this.#numbers) : undefined;
  }

  #complete(): boolean {
    return this.#count !== undefined && this.#numbers.length === 2 * this.#count;
  }

  #line(): void {
    const value = natural(this.#digits);
    this.#digits = '';
    if (this.#count !== undefined) this.#numbers.push(value);
    else if (value > MAX_PARTS) throw damaged('the map of a sparse file has too many parts');
    else this.#count = value;
  }
}

/** Throws unless the parts lie one after another within the file and hold `stored` bytes together. */
export function checkMap(map: SparseMap, stored: number): void {
  let end = 0;
  let sum = 0;
  for (const { offset, length } of map.parts) {
    if (offset < end || offset + length > map.size)
      throw damaged('the parts of a sparse file overlap or reach past its end');
    end = offset + length;
    sum += length;
  }
  if (sum !== stored) throw damaged(`a sparse file has ${stored} bytes in the archive, its map says ${sum}`);
}

function interleaved(offsets: number[], lengths: number[]): number[] {
  if (offsets.length !== lengths.length) throw damaged('the map of a sparse file is incomplete');
  return offsets.flatMap((offset, index) => [offset, lengths[index] ?? 0]);
}

function paired(numbers: number[]): SparsePart[] {
  if (numbers.length % 2 !== 0) throw damaged('the map of a sparse file is incomplete');
  const parts: SparsePart[] = [];
  for (let index = 0; index < numbers.length; index += 2)
    parts.push({ offset: numbers[index] ?? 0, length: numbers[index + 1] ?? 0 });
  return parts;
}

function listOf(text: string): number[] {
  return text === '' ? [] : text.split(',').map(natural);
}

function natural(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw damaged('the map of a sparse file holds no numbers');
  return value;
}
