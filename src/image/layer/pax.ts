import { damaged } from './tar-header.ts';

/** Records of a pax header; no prototype: the archive chooses the keys. Latin1, one character per byte. */
export type PaxRecords = Record<string, string>;

const SPACE = 32;
/** Keys that GNU tar 0.0 repeats, once for each piece of a sparse file: joined by commas here. */
const REPEATED = new Set(['GNU.sparse.offset', 'GNU.sparse.numbytes']);

export const NO_RECORDS: PaxRecords = Object.freeze(Object.create(null));

/**
 * Records `<length> <key>=<value>\n` of a pax header (POSIX.1-2017, pax,
 * "Extended Header"). A value is taken by its length, so it may hold any byte.
 */
export function decodePax(bytes: Buffer): PaxRecords {
  const records: PaxRecords = Object.create(null);
  for (let at = 0; at < bytes.length; ) {
    // Some archivers count the padding to the header's data.
    if (bytes[at] === 0) break;
    const space = bytes.indexOf(SPACE, at);
    const length = space < 0 ? 0 : Number(bytes.toString('latin1', at, space));
    if (!Number.isSafeInteger(length) || length <= space - at + 1 || at + length > bytes.length)
      throw damaged('a record of a pax header has a wrong length');
    const record = bytes.toString('latin1', space + 1, at + length - 1);
    const equals = record.indexOf('=');
    if (equals <= 0 || bytes[at + length - 1] !== 10) throw damaged('a record of a pax header is none');
    const key = record.slice(0, equals);
    const value = record.slice(equals + 1);
    const before = records[key];
    records[key] = before !== undefined && REPEATED.has(key) ? `${before},${value}` : value;
    at += length;
  }
  return records;
}
