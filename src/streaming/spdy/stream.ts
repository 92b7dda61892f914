import { Duplex } from 'node:stream';
import type { Headers } from './headers.ts';

/** Bytes that are taken for a stream whose reader rests, before the whole connection does. */
const READ_AHEAD = 256 * 1024;
const WRITE_BUFFER = 64 * 1024;

type Done = (error?: Error | null) => void;

/** What a stream needs of its session. */
export interface StreamHost {
  /** `done` is called once the bytes have left this process. */
  write(stream: SpdyStream, chunks: Buffer[], fin: boolean, done: Done): void;
  /** The reader wants more. */
  drained(stream: SpdyStream): void;
  /** The stream is gone; `whole` where both sides have ended it. */
  gone(stream: SpdyStream, whole: boolean): void;
}

/**
 * One stream of a session. Ending it half-closes it; destroying it before both
 * sides have ended resets it. Where the peer resets it, it closes without an
 * error; where the connection is lost, what has arrived can still be read, then
 * it ends.
 */
export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: Headers;
  readonly #host: StreamHost;
  #remoteEnded = false;
  #finSent = false;
  #dead = false;
  #opened = false;
  /** The write that waits for `opened`. */
  #held: (() => void) | null = null;

  constructor(options: { id: number; headers: Headers }, host: StreamHost) {
    super({
      allowHalfOpen: true,
      readableHighWaterMark: READ_AHEAD,
      writableHighWaterMark: WRITE_BUFFER,
    });
    this.id = options.id;
    this.headers = options.headers;
    this.#host = host;
    // Whoever writes learns by its own callback that the connection is gone.
    this.on('error', () => undefined);
  }

  /** The peer knows of the stream: before that, the Go library drops what comes on it. */
  opened(): void {
    this.#opened = true;
    this.#held?.();
    this.#held = null;
  }

  /** Takes what came for it; false = no more, until `drained`. */
  receive(bytes: Buffer): boolean {
    if (this.#remoteEnded || this.destroyed || bytes.length === 0) return true;
    return this.push(bytes);
  }

  receiveEnd(): void {
    if (this.#remoteEnded) return;
    this.#remoteEnded = true;
    this.push(null);
  }

  receiveReset(): void {
    // Servers reset what they have ended, to be rid of it: that takes nothing back.
    if (this.#remoteEnded) this.connectionLost();
    else {
      this.#dead = true;
      this.destroy();
    }
  }

  /** Nothing can be written any more; what has arrived can still be read. */
  connectionLost(): void {
    this.#dead = true;
    this.receiveEnd();
    if (this.readableEnded) this.destroy();
    else this.once('end', () => this.destroy());
  }

  override _read(): void {
    this.#host.drained(this);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#send([chunk], false, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    this.#send(
      chunks.map(({ chunk }) => chunk),
      false,
      done,
    );
  }

  override _final(done: Done): void {
    this.#finSent = true;
    this.#send([], true, done);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#host.gone(this, this.#dead || (this.#remoteEnded && this.#finSent));
    done(error);
  }

  #send(chunks: Buffer[], fin: boolean, done: Done): void {
    if (this.#dead) done(new Error('the client is gone'));
    else if (this.#opened) this.#host.write(this, chunks, fin, done);
    else this.#held = () => this.#host.write(this, chunks, fin, done);
  }
}
