import { type Extract, extract, type Header } from 'tar-stream';
import { SkiffError } from '../../base/errors.ts';

/** What of tar-stream's reader is overridden here: names of version 3.2.2, which package.json pins. */
interface Internals {
  _header: Header | null;
  _pax: Record<string, string> | null;
  _paxGlobal: Record<string, string> | null;
  _decodeLongHeader(block: Uint8Array): void;
  _applyLongHeaders(): void;
}

const NO_DATA = new Set(['link', 'symlink', 'character-device', 'block-device', 'fifo']);

/**
 * tar-stream's reader, with names and pax values as latin1: one character per
 * byte. Its own decoder takes pax for UTF-8 and turns every byte that is none
 * into U+FFFD, so file capabilities and names in other encodings would be lost.
 */
export function tarReader(): Extract {
  // The declared options lack the package's own two.
  const options: object = { filenameEncoding: 'latin1', allowUnknownFormat: true };
  const reader = extract(options);
  const internals = reader as unknown as Internals;
  const { _decodeLongHeader: decodeLongHeader, _applyLongHeaders: applyLongHeaders } = internals;
  if (typeof decodeLongHeader !== 'function' || typeof applyLongHeaders !== 'function')
    throw new SkiffError(
      'internal',
      'read tar archive: this tar-stream is not the version that package.json pins',
    );
  internals._decodeLongHeader = (block) => {
    const type: string | undefined = internals._header?.type;
    if (type === 'pax-header') internals._pax = { ...internals._paxGlobal, ...decodePax(block) };
    else if (type === 'pax-global-header') internals._paxGlobal = decodePax(block);
    else decodeLongHeader.call(reader, block);
  };
  internals._applyLongHeaders = () => {
    applyLongHeaders.call(reader);
    const header = internals._header;
    // Old archivers note the target's size on a hard link, whose data does not follow (as Go's archive/tar reads it).
    if (header !== null && NO_DATA.has(header.type)) header.size = 0;
  };
  return reader;
}

const SPACE = 32;

/** Records `<length> <key>=<value>\n` of a pax header (POSIX.1-2017, pax, "Extended Header"), latin1. */
export function decodePax(block: Uint8Array): Record<string, string> {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  // No prototype: the archive chooses the keys.
  const records: Record<string, string> = Object.create(null);
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(SPACE, at);
    const length = space < 0 ? 0 : Number(bytes.toString('latin1', at, space));
    if (!Number.isSafeInteger(length) || length <= space - at || at + length > bytes.length) break;
    const record = bytes.toString('latin1', space + 1, at + length - 1);
    const equals = record.indexOf('=');
    if (equals > 0) records[record.slice(0, equals)] = record.slice(equals + 1);
    at += length;
  }
  return records;
}
