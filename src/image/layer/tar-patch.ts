import headers from '../../../node_modules/tar-stream/headers.js';

/**
 * tar-stream 3.2.2 decodes pax records as UTF-8, which turns every byte that is no
 * UTF-8 into U+FFFD: file capabilities and names in other encodings are lost.
 * Its functions are replaced by ones that keep one character per byte (latin1).
 * The file is imported by its path because the package does not export it; a
 * bundle must take tar-stream in, or this patches a copy that nobody uses.
 * test/unit/image/layer/tar-patch.test.ts holds the pinned version to it.
 */
export function patchTarStream(): void {
  headers.decodePax = decodePax;
  const decode = headers.decode;
  if (patched.has(decode)) return;
  const withoutData: typeof decode = (block, encoding, unknownFormat) => {
    const header = decode(block, encoding, unknownFormat);
    // Old archivers note the target's size on a hard link, whose data does not follow (as Go's archive/tar reads it).
    if (header !== null && NO_DATA.has(header.type ?? '')) header.size = 0;
    return header;
  };
  patched.add(withoutData);
  headers.decode = withoutData;
}

const patched = new WeakSet<object>();
const NO_DATA = new Set(['link', 'symlink', 'character-device', 'block-device', 'fifo']);
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
