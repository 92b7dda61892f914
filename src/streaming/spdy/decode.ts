import {
  type ControlFrame,
  FLAG,
  FRAME_HEAD,
  type Frame,
  MAX_CONTROL_LENGTH,
  MAX_STREAM_ID,
  SpdyError,
  TYPE,
  VERSION,
} from './frames.ts';

interface Data {
  streamId: number;
  fin: boolean;
  left: number;
}

/**
 * Bytes to frames, pure. `push` takes what has arrived, cut anywhere, and
 * throws a SpdyError for what no peer sends; the decoder is of no use then.
 * Control frames of unknown type are skipped, as the protocol wants it.
 */
export class FrameDecoder {
  #chunks: Buffer[] = [];
  #size = 0;
  /** Bytes that the next step needs. */
  #need = FRAME_HEAD;
  #data: Data | null = null;

  push(chunk: Buffer): Frame[] {
    if (chunk.length > 0) this.#chunks.push(chunk);
    this.#size += chunk.length;
    const frames: Frame[] = [];
    for (;;) {
      const frame = this.#data === null ? this.#control() : this.#part(this.#data);
      if (frame === undefined) return frames;
      if (frame !== null) frames.push(frame);
    }
  }

  /** The next frame; null = go on; undefined = more bytes are needed. */
  #control(): Frame | null | undefined {
    if (this.#size < this.#need) return undefined;
    const bytes = this.#join();
    const [first, second] = [bytes.readUInt32BE(0), bytes.readUInt32BE(4)];
    const [flags, length] = [second >>> 24, second & 0xffffff];
    if (first >>> 31 === 0) {
      if (first === 0) throw new SpdyError('a data frame of stream 0');
      this.#take(FRAME_HEAD);
      this.#data = { streamId: first, fin: (flags & FLAG.FIN) !== 0, left: length };
      return null;
    }
    if (length > MAX_CONTROL_LENGTH)
      throw new SpdyError(`a control frame of ${length} bytes, over ${MAX_CONTROL_LENGTH}`);
    this.#need = FRAME_HEAD + length;
    if (this.#size < this.#need) return undefined;
    const payload = this.#take(this.#need).subarray(FRAME_HEAD);
    this.#need = FRAME_HEAD;
    const version = (first >>> 16) & 0x7fff;
    if (version !== VERSION) throw new SpdyError(`a frame of version ${version}`);
    return controlFrame(first & 0xffff, flags, payload);
  }

  #part(data: Data): Frame | null | undefined {
    const { streamId } = data;
    if (data.left === 0) {
      this.#data = null;
      return { type: 'data', streamId, fin: data.fin, bytes: Buffer.alloc(0) };
    }
    const chunk = this.#chunks[0];
    if (chunk === undefined) return undefined;
    const bytes = chunk.subarray(0, data.left);
    if (bytes.length === chunk.length) this.#chunks.shift();
    else this.#chunks[0] = chunk.subarray(bytes.length);
    this.#size -= bytes.length;
    data.left -= bytes.length;
    if (data.left > 0) return { type: 'data', streamId, fin: false, bytes };
    this.#data = null;
    return { type: 'data', streamId, fin: data.fin, bytes };
  }

  #join(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks, this.#size)];
    return this.#chunks[0] as Buffer;
  }

  #take(length: number): Buffer {
    const bytes = this.#join();
    this.#chunks = bytes.length === length ? [] : [bytes.subarray(length)];
    this.#size -= length;
    return bytes.subarray(0, length);
  }
}

function controlFrame(type: number, flags: number, payload: Buffer): ControlFrame | null {
  const fin = (flags & FLAG.FIN) !== 0;
  switch (type) {
    case TYPE.SYN_STREAM:
      atLeast(payload, 10, 'SYN_STREAM');
      return {
        type: 'synStream',
        streamId: streamId(payload, 0),
        associatedTo: payload.readUInt32BE(4) & MAX_STREAM_ID,
        priority: payload.readUInt8(8) >>> 5,
        fin,
        unidirectional: (flags & FLAG.UNIDIRECTIONAL) !== 0,
        block: payload.subarray(10),
      };
    case TYPE.SYN_REPLY:
      atLeast(payload, 4, 'SYN_REPLY');
      return { type: 'synReply', streamId: streamId(payload, 0), fin, block: payload.subarray(4) };
    case TYPE.HEADERS:
      atLeast(payload, 4, 'HEADERS');
      return { type: 'headers', streamId: streamId(payload, 0), fin, block: payload.subarray(4) };
    case TYPE.SETTINGS:
      return settings(payload);
    default:
      return numbersFrame(type, payload);
  }
}

/** The frames that are one or two numbers of 32 bits. */
function numbersFrame(type: number, payload: Buffer): ControlFrame | null {
  switch (type) {
    case TYPE.RST_STREAM:
      exactly(payload, 8, 'RST_STREAM');
      return { type: 'rstStream', streamId: streamId(payload, 0), status: payload.readUInt32BE(4) };
    case TYPE.PING:
      exactly(payload, 4, 'PING');
      return { type: 'ping', id: payload.readUInt32BE(0) };
    case TYPE.GOAWAY:
      exactly(payload, 8, 'GOAWAY');
      return {
        type: 'goAway',
        lastGoodStreamId: payload.readUInt32BE(0) & MAX_STREAM_ID,
        status: payload.readUInt32BE(4),
      };
    case TYPE.WINDOW_UPDATE:
      exactly(payload, 8, 'WINDOW_UPDATE');
      return {
        type: 'windowUpdate',
        streamId: payload.readUInt32BE(0) & MAX_STREAM_ID,
        delta: payload.readUInt32BE(4) & MAX_STREAM_ID,
      };
    default:
      return null;
  }
}

function settings(payload: Buffer): ControlFrame {
  atLeast(payload, 4, 'SETTINGS');
  const count = payload.readUInt32BE(0);
  if (payload.length !== 4 + count * 8)
    throw new SpdyError(`SETTINGS of ${count} in ${payload.length} bytes`);
  const list = Array.from({ length: count }, (_, index) => {
    const at = 4 + index * 8;
    return {
      flags: payload.readUInt8(at),
      id: payload.readUIntBE(at + 1, 3),
      value: payload.readUInt32BE(at + 4),
    };
  });
  return { type: 'settings', settings: list };
}

function streamId(payload: Buffer, at: number): number {
  const id = payload.readUInt32BE(at) & MAX_STREAM_ID;
  if (id === 0) throw new SpdyError('a frame of stream 0');
  return id;
}

function atLeast(payload: Buffer, length: number, what: string): void {
  if (payload.length < length) throw new SpdyError(`${what} of ${payload.length} bytes`);
}

function exactly(payload: Buffer, length: number, what: string): void {
  if (payload.length !== length) throw new SpdyError(`${what} of ${payload.length} bytes`);
}
