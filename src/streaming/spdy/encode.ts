import { type ControlFrame, FLAG, FRAME_HEAD, TYPE, VERSION } from './frames.ts';

/** A control frame as bytes; its headers are compressed already. */
export function encodeControl(frame: ControlFrame): Buffer {
  switch (frame.type) {
    case 'synStream': {
      const flags = finFlag(frame.fin) | (frame.unidirectional ? FLAG.UNIDIRECTIONAL : 0);
      const priority = Buffer.of(frame.priority << 5, 0);
      return control(
        TYPE.SYN_STREAM,
        flags,
        numbers(frame.streamId, frame.associatedTo),
        priority,
        frame.block,
      );
    }
    case 'synReply':
      return control(TYPE.SYN_REPLY, finFlag(frame.fin), numbers(frame.streamId), frame.block);
    case 'headers':
      return control(TYPE.HEADERS, finFlag(frame.fin), numbers(frame.streamId), frame.block);
    case 'rstStream':
      return control(TYPE.RST_STREAM, 0, numbers(frame.streamId, frame.status));
    case 'settings': {
      const settings = frame.settings.map(({ flags, id, value }) =>
        numbers(((flags << 24) | id) >>> 0, value),
      );
      return control(TYPE.SETTINGS, 0, numbers(frame.settings.length), ...settings);
    }
    case 'ping':
      return control(TYPE.PING, 0, numbers(frame.id));
    case 'goAway':
      return control(TYPE.GOAWAY, 0, numbers(frame.lastGoodStreamId, frame.status));
    case 'windowUpdate':
      return control(TYPE.WINDOW_UPDATE, 0, numbers(frame.streamId, frame.delta));
  }
}

/** What stands before the `length` bytes of a data frame, at most MAX_DATA_LENGTH. */
export function encodeDataHead(streamId: number, length: number, fin: boolean): Buffer {
  return numbers(streamId, ((finFlag(fin) << 24) | length) >>> 0);
}

function control(type: number, flags: number, ...parts: Buffer[]): Buffer {
  const payload = Buffer.concat(parts);
  const head = Buffer.allocUnsafe(FRAME_HEAD);
  head.writeUInt16BE(0x8000 | VERSION, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt8(flags, 4);
  head.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([head, payload]);
}

function numbers(...values: number[]): Buffer {
  const bytes = Buffer.allocUnsafe(values.length * 4);
  values.forEach((value, index) => {
    bytes.writeUInt32BE(value, index * 4);
  });
  return bytes;
}

function finFlag(fin: boolean): number {
  return fin ? FLAG.FIN : 0;
}
