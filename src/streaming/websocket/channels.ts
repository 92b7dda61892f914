/**
 * Messages of the channel protocols of Kubernetes (k8s.io/streaming, package
 * wsstream), pure. Each message begins with a byte that numbers its channel;
 * in the base64 forms it is a digit and the rest is base64 in a text message.
 * v5 adds a message of two bytes, 255 and a channel: no more comes on that one.
 */
export interface ChannelCodec {
  base64: boolean;
  /** Byte 255 half-closes a channel. */
  closes: boolean;
}

export type ChannelMessage =
  | { type: 'data'; channel: number; bytes: Buffer }
  | { type: 'close'; channel: number }
  /** Of no meaning: ignored, as the peers do. */
  | { type: 'nothing' };

/** How a WebSocket subprotocol writes its messages; '' = the client asked for none. */
export const CHANNEL_PROTOCOLS: Readonly<Record<string, ChannelCodec>> = {
  '': { base64: false, closes: false },
  'channel.k8s.io': { base64: false, closes: false },
  'base64.channel.k8s.io': { base64: true, closes: false },
  'v4.channel.k8s.io': { base64: false, closes: false },
  'v4.base64.channel.k8s.io': { base64: true, closes: false },
  'v5.channel.k8s.io': { base64: false, closes: true },
};

const CLOSE = 255;
const DIGIT_ZERO = 0x30;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

export function encodeMessage(codec: ChannelCodec, channel: number, bytes: Buffer): Buffer | string {
  if (codec.base64) return `${channel}${bytes.toString('base64')}`;
  return Buffer.concat([Buffer.of(channel), bytes]);
}

export function encodeClose(channel: number): Buffer {
  return Buffer.of(CLOSE, channel);
}

export function decodeMessage(codec: ChannelCodec, message: Buffer): ChannelMessage {
  const first = message[0];
  if (first === undefined) return { type: 'nothing' };
  if (codec.base64) {
    const text = message.toString('latin1', 1);
    if (first < DIGIT_ZERO || !BASE64.test(text)) return { type: 'nothing' };
    return { type: 'data', channel: first - DIGIT_ZERO, bytes: Buffer.from(text, 'base64') };
  }
  if (!codec.closes || first !== CLOSE) return { type: 'data', channel: first, bytes: message.subarray(1) };
  const channel = message[1];
  return channel === undefined || message.length > 2 ? { type: 'nothing' } : { type: 'close', channel };
}
