/**
 * The frames of SPDY/3.1 (The Chromium Projects, "SPDY Protocol - Draft 3.1"),
 * as Kubernetes' clients speak it. Numbers are big-endian.
 *
 *   control  | 1 | version 15 | type 16 | flags 8 | length 24 | payload
 *   data     | 0 | stream id 31         | flags 8 | length 24 | bytes
 */
export const VERSION = 3;
export const FRAME_HEAD = 8;

/** Longest control frame that is read, in bytes; the streams of Kubernetes carry a handful of short headers. */
export const MAX_CONTROL_LENGTH = 64 * 1024;
/** Longest data frame that is written: the length field has 24 bits. Longer writes are cut. */
export const MAX_DATA_LENGTH = 1024 * 1024;
export const MAX_STREAM_ID = 0x7fffffff;

export const TYPE = {
  SYN_STREAM: 1,
  SYN_REPLY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PING: 6,
  GOAWAY: 7,
  HEADERS: 8,
  WINDOW_UPDATE: 9,
} as const;

export const FLAG = { FIN: 1, UNIDIRECTIONAL: 2 } as const;

/** Status of RST_STREAM. */
export const RST = {
  PROTOCOL_ERROR: 1,
  INVALID_STREAM: 2,
  REFUSED_STREAM: 3,
  CANCEL: 5,
  INTERNAL_ERROR: 6,
  STREAM_IN_USE: 8,
  STREAM_ALREADY_CLOSED: 9,
} as const;

/** Status of GOAWAY. */
export const GOAWAY = { OK: 0, PROTOCOL_ERROR: 1, INTERNAL_ERROR: 2 } as const;

export interface Setting {
  flags: number;
  id: number;
  value: number;
}

/** `block`: compressed headers, which only the session's one `HeaderInflater` can read, each exactly once and in order. */
export type ControlFrame =
  | {
      type: 'synStream';
      streamId: number;
      associatedTo: number;
      /** 0 (first) to 7. */
      priority: number;
      fin: boolean;
      unidirectional: boolean;
      block: Buffer;
    }
  | { type: 'synReply'; streamId: number; fin: boolean; block: Buffer }
  | { type: 'rstStream'; streamId: number; status: number }
  | { type: 'settings'; settings: Setting[] }
  | { type: 'ping'; id: number }
  | { type: 'goAway'; lastGoodStreamId: number; status: number }
  | { type: 'headers'; streamId: number; fin: boolean; block: Buffer }
  | { type: 'windowUpdate'; streamId: number; delta: number };

/** A long data frame is read as several, the last of them with `fin` where the frame has it: none is held until it is whole. */
export interface DataFrame {
  type: 'data';
  streamId: number;
  fin: boolean;
  bytes: Buffer;
}

export type Frame = ControlFrame | DataFrame;

/** What no peer that speaks SPDY/3.1 sends; the session is of no use then. `status` is for the GOAWAY. */
export class SpdyError extends Error {
  override readonly name = 'SpdyError';
  readonly status: number = GOAWAY.PROTOCOL_ERROR;
}
