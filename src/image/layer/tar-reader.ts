import type { SparsePart } from '../../os/layer-entry.ts';
import { decodePax, NO_RECORDS, type PaxRecords } from './pax.ts';
import {
  checkMap,
  DataMapReader,
  dataMapSize,
  extendOldMap,
  oldMap,
  paxMap,
  type SparseMap,
} from './sparse.ts';
import { BLOCK, damaged, isZero, type RawHeader, readHeader } from './tar-header.ts';

/** One entry of an archive. Text is latin1, one character per byte: names are bytes. */
export interface TarEntry extends RawHeader {
  /** Bytes of the file as it is to be; a sparse one has fewer in the archive. */
  size: number;
  /** The parts of a sparse file that follow as data, null for all others. */
  sparse: SparsePart[] | null;
  pax: PaxRecords;
}

/** Takes the data of one entry. A chunk is good during the call only. */
export interface TarSink {
  write(chunk: Buffer): void;
  end(): void;
}

/** Headers that say more of the next entry are kept in memory: 1 MiB is what Go's archive/tar allows. */
const META_BYTES = 1 << 20;

/** Types without data, whatever size their header gives: old archivers note a hard link's target's size on it. */
const NO_DATA = new Set(['1', '2', '3', '4', '5', '6']);
const META = new Set(['x', 'g', 'L', 'K']);

type State =
  | { at: 'header' }
  | { at: 'extension'; entry: TarEntry; map: SparseMap; stored: number }
  | { at: 'map'; entry: TarEntry; reader: DataMapReader; stored: number }
  | { at: 'meta'; type: string; parts: Buffer[]; left: number; padding: number }
  | { at: 'data'; sink: TarSink | undefined; left: number; padding: number }
  | { at: 'padding'; left: number }
  | { at: 'over' };

/**
 * Reads an archive from the chunks that it comes in: ustar (POSIX.1-1988), pax
 * (POSIX.1-2001), GNU's long names, big numbers and all its forms of sparse files.
 * Everything happens within `write`; what `entry` throws ends it.
 *
 * As in Go's archive/tar, global pax headers say nothing of the entries after
 * them, so that an image is here what it is to containerd and umoci.
 */
export class TarReader {
  readonly #entry: (entry: TarEntry) => TarSink | undefined;
  readonly #rest: (bytes: Buffer) => void;
  #state: State = { at: 'header' };
  /** The beginning of a block whose rest is still to come. */
  readonly #block = Buffer.alloc(BLOCK);
  #blockLength = 0;
  #zeroBlocks = 0;
  #pax = NO_RECORDS;
  #longName: string | undefined;
  #longLink: string | undefined;

  /**
   * `entry` is called for every entry and answers who takes its data. `rest` gets all that nobody takes, in
   * order: headers, padding, what stands behind the end.
   */
  constructor(options: {
    entry: (entry: TarEntry) => TarSink | undefined;
    rest?: (bytes: Buffer) => void;
  }) {
    this.#entry = options.entry;
    this.#rest = options.rest ?? (() => undefined);
  }

  write(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      const state = this.#state;
      if (state.at === 'over') {
        this.#rest(chunk.subarray(at));
        return;
      }
      if (state.at === 'data' || state.at === 'meta' || state.at === 'padding') {
        const part = chunk.subarray(at, at + state.left);
        at += part.length;
        state.left -= part.length;
        this.#take(state, part);
        continue;
      }
      if (this.#blockLength === 0 && chunk.length - at >= BLOCK) {
        this.#takeBlock(chunk.subarray(at, at + BLOCK));
        at += BLOCK;
        continue;
      }
      const copied = chunk.copy(this.#block, this.#blockLength, at);
      at += copied;
      this.#blockLength += copied;
      if (this.#blockLength < BLOCK) continue;
      this.#blockLength = 0;
      this.#takeBlock(this.#block);
    }
  }

  /**
   * The archive has ended. Its last blocks may be missing: umoci leaves the padding of
   * the last file out, and Go's archive/tar takes that for the archive's end.
   */
  end(): void {
    const state = this.#state;
    const whole = (state.at === 'over' || state.at === 'padding') && !this.#hasMeta();
    const between = state.at === 'header' && this.#blockLength === 0 && !this.#hasMeta();
    if (!whole && !between) throw damaged('it ends in the middle of an entry');
  }

  #take(state: Extract<State, { at: 'data' | 'meta' | 'padding' }>, part: Buffer): void {
    if (state.at !== 'data' || state.sink === undefined) this.#rest(part);
    if (state.at === 'padding') {
      if (state.left === 0) this.#state = { at: 'header' };
      return;
    }
    if (state.at === 'data') state.sink?.write(part);
    else state.parts.push(Buffer.from(part));
    if (state.left > 0) return;
    this.#state = state.padding === 0 ? { at: 'header' } : { at: 'padding', left: state.padding };
    if (state.at === 'data') state.sink?.end();
    else this.#takeMeta(state.type, Buffer.concat(state.parts));
  }

  #takeBlock(block: Buffer): void {
    const state = this.#state;
    this.#rest(block);
    if (state.at === 'extension') {
      if (extendOldMap(state.map, block)) return;
      this.#begin(withMap(state.entry, state.map, state.stored), state.stored);
    } else if (state.at === 'map') {
      state.stored -= BLOCK;
      if (state.stored < 0) throw damaged('the map of a sparse file is longer than the file in the archive');
      const parts = state.reader.push(block);
      if (parts === undefined) return;
      const map = { size: state.entry.size, parts };
      this.#begin(withMap(state.entry, map, state.stored), state.stored);
    } else this.#takeHeader(block);
  }

  #takeHeader(block: Buffer): void {
    if (isZero(block)) {
      if (++this.#zeroBlocks === 2) this.#state = { at: 'over' };
      return;
    }
    if (this.#zeroBlocks > 0) throw damaged('an empty block stands between its entries');
    const header = readHeader(block);
    if (META.has(header.type)) {
      if (header.size < 0 || header.size > META_BYTES)
        throw damaged(
          `a header of ${header.size} bytes before an entry is not taken: ${META_BYTES} are the most`,
        );
      this.#expectMeta(header);
      return;
    }
    const entry = this.#described(header);
    if (NO_DATA.has(entry.type)) this.#begin({ ...entry, size: 0 }, 0);
    else if (entry.type === 'S') this.#beginOldSparse(entry, block);
    else this.#beginFile(entry);
  }

  #expectMeta({ type, size }: RawHeader): void {
    if (size === 0) this.#takeMeta(type, Buffer.alloc(0));
    else this.#state = { at: 'meta', type, parts: [], left: size, padding: -size & (BLOCK - 1) };
  }

  #takeMeta(type: string, data: Buffer): void {
    if (type === 'x') this.#pax = decodePax(data);
    else if (type === 'L') this.#longName = untilNul(data);
    else if (type === 'K') this.#longLink = untilNul(data);
  }

  #hasMeta(): boolean {
    return this.#pax !== NO_RECORDS || this.#longName !== undefined || this.#longLink !== undefined;
  }

  /** The entry that `header` and the headers before it describe together. An empty pax value takes nothing away. */
  #described(header: RawHeader): TarEntry {
    const pax = this.#pax;
    const name = this.#longName ?? (pax['GNU.sparse.name'] || pax.path || header.name);
    const linkname = this.#longLink ?? (pax.linkpath || header.linkname);
    const size = pax.size === undefined || pax.size === '' ? header.size : sizeOf(pax.size);
    if (size < 0) throw damaged('an entry has a negative size');
    this.#pax = NO_RECORDS;
    this.#longName = this.#longLink = undefined;
    return { ...header, name, linkname, size, pax, sparse: null };
  }

  #beginOldSparse(entry: TarEntry, block: Buffer): void {
    const { map, more } = oldMap(block);
    const file = { ...entry, type: '0' };
    if (more) this.#state = { at: 'extension', entry: file, map, stored: entry.size };
    else this.#begin(withMap(file, map, entry.size), entry.size);
  }

  #beginFile(entry: TarEntry): void {
    const stored = entry.size;
    const map = paxMap(entry.pax);
    const size = dataMapSize(entry.pax);
    if (size !== undefined)
      this.#state = { at: 'map', entry: { ...entry, size }, reader: new DataMapReader(), stored };
    else this.#begin(map === undefined ? entry : withMap(entry, map, stored), stored);
  }

  /** `stored` bytes of data follow. */
  #begin(entry: TarEntry, stored: number): void {
    const padding = -stored & (BLOCK - 1);
    const sink = this.#entry(entry);
    if (stored > 0) this.#state = { at: 'data', sink, left: stored, padding };
    else {
      this.#state = { at: 'header' };
      sink?.end();
    }
  }
}

function withMap(entry: TarEntry, map: SparseMap, stored: number): TarEntry {
  checkMap(map, stored);
  return { ...entry, size: map.size, sparse: map.parts };
}

function sizeOf(text: string): number {
  const size = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(size)) throw damaged('the size in a pax header is no number');
  return size;
}

function untilNul(data: Buffer): string {
  const end = data.indexOf(0);
  return data.toString('latin1', 0, end < 0 ? data.length : end);
}
