import { SkiffError } from '../base/errors.ts';

/**
 * The frames on a shim's socket, bytes to values and back, pure. Drawn in
 * native/shim/protocol.h; the types stand here in the same order.
 */
export const PROTOCOL_VERSION = 1;
const FRAME_HEAD = 5;
export const FRAME_MAX = 65536;

export const FRAME = {
  HELLO: 0x01,
  KILL: 0x02,
  REOPEN_LOG: 0x03,
  RESIZE: 0x04,
  CLOSE_STDIN: 0x05,
  ATTACH: 0x06,
  STDIN: 0x07,
  STDIN_END: 0x08,

  STATE: 0x81,
  DONE: 0x82,
  STDOUT: 0x83,
  STDERR: 0x84,
  EXIT: 0x85,
} as const;

const ATTACH = { STDIN: 1, STDOUT: 2, STDERR: 4 } as const;
const STATE_EXITED = 2;

export interface AttachStreams {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

/** Requests that the shim answers with one frame. `all` goes with SIGKILL only; a size counts characters. */
export type ShimRequest =
  | { type: 'hello' }
  | { type: 'kill'; signal: number; all: boolean }
  | { type: 'reopenLog' }
  | { type: 'resize'; width: number; height: number }
  | { type: 'closeStdin' }
  | ({ type: 'attach' } & AttachStreams);

/** `errno` 0 = done; `finishedAt` in ns since the epoch; bytes of a frame are a view of the chunk where it lay in one. */
export type ShimMessage =
  | { type: 'state'; containerPid: number; shimPid: number; exited: boolean; lostLogBytes: number }
  | { type: 'done'; request: number; errno: number }
  | { type: 'stdout'; bytes: Buffer }
  | { type: 'stderr'; bytes: Buffer }
  | { type: 'exit'; exitCode: number; oomKilled: boolean; finishedAt: string };

export function encodeRequest(request: ShimRequest): Buffer {
  switch (request.type) {
    case 'hello':
      return frame(FRAME.HELLO, [PROTOCOL_VERSION]);
    case 'kill':
      return frame(FRAME.KILL, [request.signal, request.all ? 1 : 0]);
    case 'reopenLog':
      return frame(FRAME.REOPEN_LOG, []);
    case 'resize':
      return frame(FRAME.RESIZE, [...u16(request.width), ...u16(request.height)]);
    case 'closeStdin':
      return frame(FRAME.CLOSE_STDIN, []);
    case 'attach':
      return frame(FRAME.ATTACH, [attachFlags(request)]);
  }
}

/** Input for the container as frames of at most FRAME_MAX bytes. */
export function encodeStdin(bytes: Uint8Array): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += FRAME_MAX)
    frames.push(frame(FRAME.STDIN, bytes.subarray(at, at + FRAME_MAX)));
  return frames;
}

export function encodeStdinEnd(): Buffer {
  return frame(FRAME.STDIN_END, []);
}

/** Cuts what arrives into messages. `push` throws `data_loss` for what no shim sends; the stream is of no use then. */
export class FrameDecoder {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): ShimMessage[] {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const messages: ShimMessage[] = [];
    while (bytes.length >= FRAME_HEAD) {
      const size = bytes.readUInt32BE(1);
      if (size > FRAME_MAX) throw broken(`a frame of ${size} bytes`);
      if (bytes.length < FRAME_HEAD + size) break;
      messages.push(decode(bytes.readUInt8(0), bytes.subarray(FRAME_HEAD, FRAME_HEAD + size)));
      bytes = bytes.subarray(FRAME_HEAD + size);
    }
    this.#rest = bytes;
    return messages;
  }
}

function decode(type: number, payload: Buffer): ShimMessage {
  switch (type) {
    case FRAME.STATE:
      return decodeState(sized(payload, 17));
    case FRAME.DONE:
      return { type: 'done', request: sized(payload, 5).readUInt8(0), errno: payload.readUInt32BE(1) };
    case FRAME.STDOUT:
      return { type: 'stdout', bytes: payload };
    case FRAME.STDERR:
      return { type: 'stderr', bytes: payload };
    case FRAME.EXIT:
      return decodeExit(sized(payload, 10));
    default:
      throw broken(`a frame of type ${type}`);
  }
}

function decodeState(payload: Buffer): ShimMessage {
  return {
    type: 'state',
    containerPid: payload.readUInt32BE(0),
    shimPid: payload.readUInt32BE(4),
    exited: payload.readUInt8(8) === STATE_EXITED,
    lostLogBytes: Number(payload.readBigUInt64BE(9)),
  };
}

function decodeExit(payload: Buffer): ShimMessage {
  return {
    type: 'exit',
    exitCode: payload.readUInt8(0),
    oomKilled: payload.readUInt8(1) !== 0,
    finishedAt: payload.readBigUInt64BE(2).toString(),
  };
}

function sized(payload: Buffer, size: number): Buffer {
  if (payload.length !== size) throw broken(`a payload of ${payload.length} bytes instead of ${size}`);
  return payload;
}

function broken(what: string): SkiffError {
  return new SkiffError('data_loss', `read from the shim: ${what}`);
}

function attachFlags(streams: AttachStreams): number {
  return (
    (streams.stdin ? ATTACH.STDIN : 0) |
    (streams.stdout ? ATTACH.STDOUT : 0) |
    (streams.stderr ? ATTACH.STDERR : 0)
  );
}

function frame(type: number, payload: Uint8Array | number[]): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEAD + payload.length);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt32BE(payload.length, 1);
  bytes.set(payload, FRAME_HEAD);
  return bytes;
}

function u16(value: number): [number, number] {
  return [value >> 8, value & 0xff];
}
