import { inflateRawSync, constants as zlib } from 'node:zlib';
import { DICTIONARY, DICTIONARY_ID } from './dictionary.ts';
import { SpdyError } from './frames.ts';

/** How many headers a block may have, and how many bytes it may be once inflated. */
export const MAX_HEADERS = 100;
export const MAX_HEADER_BYTES = 64 * 1024;

/** Deflate looks back no further than this (RFC 1951, section 2). */
const WINDOW = 32 * 1024;
/** The first bytes of a zlib stream with a preset dictionary (RFC 1950): method 8, window 32 KiB, FDICT. */
const ZLIB_HEAD = 0x78bb;
/** An empty stored block, as Z_SYNC_FLUSH ends what it has written. */
const SYNC_FLUSH = Buffer.from('000000ffff', 'hex');

/** Names in lower case. Where a name has several values they stand in one, with a NUL between them. */
export type Headers = ReadonlyMap<string, string>;

/**
 * Reads the header blocks of one direction of a session, which are one zlib
 * stream: every block, in order, also those of streams that are refused. Each
 * block ends at a flush, so it is inflated at once with what came before as the
 * dictionary.
 */
export class HeaderInflater {
  #window = DICTIONARY;
  #begun = false;

  /** Throws a SpdyError for what no peer sends. */
  read(block: Buffer): Headers {
    const bytes = this.#inflate(this.#begun ? block : withoutZlibHead(block));
    this.#begun = true;
    this.#window = Buffer.concat([this.#window, bytes]).subarray(-WINDOW);
    return parseHeaders(bytes);
  }

  #inflate(deflated: Buffer): Buffer {
    try {
      return inflateRawSync(deflated, {
        dictionary: this.#window,
        finishFlush: zlib.Z_SYNC_FLUSH,
        maxOutputLength: MAX_HEADER_BYTES,
      });
    } catch (cause) {
      throw new SpdyError('headers that cannot be inflated', { cause });
    }
  }
}

/** Writes the header blocks of one direction, as deflate's stored blocks: they are short, and there are few. */
export class HeaderDeflater {
  #begun = false;

  /** All of them together at most 65535 bytes. */
  write(headers: Headers): Buffer {
    const bytes = serializeHeaders(headers);
    const head = Buffer.alloc(5);
    head.writeUInt16LE(bytes.length, 1);
    head.writeUInt16LE(~bytes.length & 0xffff, 3);
    const zlibHead = Buffer.alloc(this.#begun ? 0 : 6);
    if (!this.#begun) {
      zlibHead.writeUInt16BE(ZLIB_HEAD, 0);
      zlibHead.writeUInt32BE(DICTIONARY_ID, 2);
    }
    this.#begun = true;
    return Buffer.concat([zlibHead, head, bytes, SYNC_FLUSH]);
  }
}

function withoutZlibHead(block: Buffer): Buffer {
  if (block.length < 6) throw new SpdyError(`a first header block of ${block.length} bytes`);
  const [cmf, flg] = [block.readUInt8(0), block.readUInt8(1)];
  if ((cmf & 0x0f) !== 8 || ((cmf << 8) | flg) % 31 !== 0 || (flg & 0x20) === 0)
    throw new SpdyError('headers that are no zlib stream with a dictionary');
  if (block.readUInt32BE(2) !== DICTIONARY_ID)
    throw new SpdyError('headers deflated with another dictionary');
  return block.subarray(6);
}

function parseHeaders(bytes: Buffer): Headers {
  let at = 0;
  const number = (): number => {
    if (bytes.length < at + 4) throw new SpdyError('headers that end too early');
    at += 4;
    return bytes.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const end = number() + at;
    if (end > bytes.length) throw new SpdyError('headers that end too early');
    const found = bytes.toString('utf8', at, end);
    at = end;
    return found;
  };
  const count = number();
  if (count > MAX_HEADERS) throw new SpdyError(`${count} headers, over ${MAX_HEADERS}`);
  const headers = new Map<string, string>();
  for (let i = 0; i < count; i++) {
    const name = text().toLowerCase();
    if (headers.has(name)) throw new SpdyError(`the header ${JSON.stringify(name)} twice`);
    headers.set(name, text());
  }
  return headers;
}

function serializeHeaders(headers: Headers): Buffer {
  const parts: Buffer[] = [length(headers.size)];
  for (const [name, value] of headers) {
    for (const text of [name.toLowerCase(), value]) {
      const bytes = Buffer.from(text);
      parts.push(length(bytes.length), bytes);
    }
  }
  return Buffer.concat(parts);
}

function length(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
