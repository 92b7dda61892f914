import { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { type ChannelCodec, decodeMessage, encodeClose, encodeMessage } from './channels.ts';

/** Bytes that are taken for a channel whose reader rests, before the whole connection does. */
const READ_AHEAD = 256 * 1024;
const WRITE_BUFFER = 64 * 1024;
const NORMAL_CLOSURE = 1000;

/**
 * A WebSocket as numbered channels, each a Duplex. A channel whose reader rests
 * makes the whole connection rest. When the connection is lost, what has arrived
 * can still be read, then the channels end.
 */
export class ChannelConnection {
  /** Resolves when the connection is closed, whoever closed it. */
  readonly closed: Promise<void>;
  readonly #socket: WebSocket;
  readonly #codec: ChannelCodec;
  readonly #sendsEnd: boolean;
  readonly #channels: Channel[] = [];
  readonly #full = new Set<Channel>();

  /** `channels`: how many there are, from 0 on. */
  constructor(
    options: { role: 'server' | 'client'; codec: ChannelCodec; channels: number },
    deps: { socket: WebSocket },
  ) {
    this.#socket = deps.socket;
    this.#codec = options.codec;
    // Only clients half-close: to them, channel 255 is an unknown one.
    this.#sendsEnd = options.role === 'client' && options.codec.closes;
    for (let number = 0; number < options.channels; number++) this.#channels.push(this.#channel(number));
    deps.socket.on('error', () => undefined);
    deps.socket.on('message', (message: Buffer) => this.#receive(message));
    this.closed = new Promise((resolve) => {
      deps.socket.once('close', () => {
        for (const channel of this.#channels) channel.connectionLost();
        resolve();
      });
    });
  }

  channel(number: number): Duplex {
    return this.#channels[number] as Channel;
  }

  /** Sends an empty message on a channel, by which clients know that the connection stands. */
  announce(number: number): void {
    this.#socket.send(encodeMessage(this.#codec, number, Buffer.alloc(0)));
  }

  /** Says goodbye; resolves when the peer has, too, or after the time that ws gives it. */
  async close(): Promise<void> {
    for (const channel of this.#channels) channel.resume();
    this.#full.clear();
    this.#socket.resume();
    this.#socket.close(NORMAL_CLOSURE);
    await this.closed;
  }

  #channel(number: number): Channel {
    return new Channel({
      send: (bytes, done) =>
        this.#socket.send(encodeMessage(this.#codec, number, bytes), (error) => done(error)),
      sendEnd: (done) => {
        if (this.#sendsEnd) this.#socket.send(encodeClose(number), () => done());
        else done();
      },
      drained: (channel) => {
        if (this.#full.delete(channel) && this.#full.size === 0) this.#socket.resume();
      },
    });
  }

  #receive(raw: Buffer): void {
    const message = decodeMessage(this.#codec, raw);
    if (message.type === 'nothing') return;
    const channel = this.#channels[message.channel];
    if (channel === undefined) return;
    if (message.type === 'close') channel.receiveEnd();
    else if (!channel.receive(message.bytes)) {
      this.#full.add(channel);
      this.#socket.pause();
    }
  }
}

type Done = (error?: Error | null) => void;

interface ChannelHost {
  send(bytes: Buffer, done: Done): void;
  sendEnd(done: Done): void;
  drained(channel: Channel): void;
}

class Channel extends Duplex {
  readonly #host: ChannelHost;
  #remoteEnded = false;

  constructor(host: ChannelHost) {
    super({ readableHighWaterMark: READ_AHEAD, writableHighWaterMark: WRITE_BUFFER });
    this.#host = host;
    // Whoever writes learns by its own callback that the connection is gone.
    this.on('error', () => undefined);
  }

  receive(bytes: Buffer): boolean {
    return this.#remoteEnded || this.destroyed || bytes.length === 0 || this.push(bytes);
  }

  receiveEnd(): void {
    if (this.#remoteEnded) return;
    this.#remoteEnded = true;
    this.push(null);
  }

  connectionLost(): void {
    this.receiveEnd();
    if (this.readableEnded) this.destroy();
    else this.once('end', () => this.destroy());
  }

  override _read(): void {
    this.#host.drained(this);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#host.send(chunk, done);
  }

  override _final(done: Done): void {
    this.#host.sendEnd(done);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#host.drained(this);
    done(error);
  }
}
