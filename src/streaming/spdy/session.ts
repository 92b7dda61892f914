import type { Duplex } from 'node:stream';
import { FrameDecoder } from './decode.ts';
import { encodeControl, encodeDataHead } from './encode.ts';
import { type ControlFrame, type Frame, GOAWAY, MAX_DATA_LENGTH, RST, SpdyError } from './frames.ts';
import { HeaderDeflater, HeaderInflater, type Headers } from './headers.ts';
import { SpdyStream, type StreamHost } from './stream.ts';

/** Streams at a time; a port-forward has two per connection. */
export const MAX_STREAMS = 4096;
/** Bytes of answers (to PING and the like) that a peer may leave unread. */
const MAX_UNREAD_ANSWERS = 256 * 1024;
/** How long the peer gets to close its side once this side has. */
const LINGER_MS = 5000;

const NO_HEADERS: Headers = new Map();

export interface SessionOptions {
  /** A client's streams have odd numbers, a server's even ones. */
  role: 'server' | 'client';
  /** Takes a stream that the peer has opened; false refuses it. */
  onStream: (stream: SpdyStream) => boolean;
}

/**
 * One SPDY/3.1 connection: many streams over one transport. Nobody keeps to
 * flow-control windows, because the Go library that all of Kubernetes uses
 * does not: a stream whose reader rests makes the whole connection rest.
 */
export class SpdySession {
  /** Resolves when the transport is closed, whoever closed it. */
  readonly closed: Promise<void>;
  readonly #options: SessionOptions;
  readonly #transport: Duplex;
  readonly #decoder = new FrameDecoder();
  readonly #inflater = new HeaderInflater();
  readonly #deflater = new HeaderDeflater();
  readonly #streams = new Map<number, SpdyStream>();
  readonly #full = new Set<SpdyStream>();
  readonly #opening = new Map<number, PromiseWithResolvers<SpdyStream>>();
  readonly #host: StreamHost;
  #lastReceived = 0;
  #nextId: number;
  #unreadAnswers = 0;
  #closing = false;

  constructor(options: SessionOptions, deps: { transport: Duplex }) {
    this.#options = options;
    this.#transport = deps.transport;
    this.#nextId = options.role === 'client' ? 1 : 2;
    this.#host = {
      write: (stream, chunks, fin, done) => this.#writeData(stream.id, chunks, fin, done),
      drained: (stream) => this.#drained(stream),
      gone: (stream, whole) => this.#gone(stream, whole),
    };
    this.closed = new Promise((resolve) => {
      deps.transport.once('close', () => {
        this.#lost();
        resolve();
      });
    });
    deps.transport.on('error', () => undefined);
    deps.transport.on('end', () => this.#lost());
    deps.transport.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  /** Opens a stream, and waits until the peer has taken it. */
  open(headers: Headers): Promise<SpdyStream> {
    const streamId = this.#nextId;
    this.#nextId += 2;
    const stream = new SpdyStream({ id: streamId, headers }, this.#host);
    const opening = Promise.withResolvers<SpdyStream>();
    if (this.#closing) opening.reject(new SpdyError('the connection is closed'));
    else {
      this.#streams.set(streamId, stream);
      this.#opening.set(streamId, opening);
      stream.once('close', () => this.#refused(streamId));
      const block = this.#deflater.write(headers);
      const flags = { fin: false, unidirectional: false };
      this.#send({ type: 'synStream', streamId, associatedTo: 0, priority: 0, ...flags, block });
    }
    return opening.promise;
  }

  /** Resets what streams are left, says goodbye and closes once the peer has, or after 5 s. */
  async close(status: number = GOAWAY.OK): Promise<void> {
    if (!this.#closing) {
      for (const stream of [...this.#streams.values()]) stream.destroy();
      this.#send({ type: 'goAway', lastGoodStreamId: this.#lastReceived, status });
      this.#closing = true;
      this.#end();
    }
    await this.closed;
  }

  #read(chunk: Buffer): void {
    if (this.#closing) return;
    try {
      for (const frame of this.#decoder.push(chunk)) this.#handle(frame);
    } catch (cause) {
      if (!(cause instanceof SpdyError)) throw cause;
      void this.close(cause.status);
    }
  }

  #handle(frame: Frame): void {
    switch (frame.type) {
      case 'data':
        this.#data(frame.streamId, frame.bytes, frame.fin);
        return;
      case 'synStream':
        this.#synStream(frame);
        return;
      case 'synReply':
        this.#inflater.read(frame.block);
        this.#reply(frame.streamId);
        this.#data(frame.streamId, NOTHING, frame.fin);
        return;
      case 'headers':
        this.#inflater.read(frame.block);
        this.#data(frame.streamId, NOTHING, frame.fin);
        return;
      case 'rstStream':
        this.#streams.get(frame.streamId)?.receiveReset();
        return;
      case 'ping':
        // One's own comes back as the answer.
        if (frame.id % 2 === (this.#options.role === 'server' ? 1 : 0)) this.#send(frame);
        return;
      case 'goAway':
        if (this.#streams.size === 0) void this.close();
        return;
      case 'settings':
      case 'windowUpdate':
        return;
    }
  }

  #synStream(frame: Extract<ControlFrame, { type: 'synStream' }>): void {
    const headers = this.#inflater.read(frame.block);
    const { streamId } = frame;
    const oddIsTheirs = this.#options.role === 'server' ? 1 : 0;
    if (streamId % 2 !== oddIsTheirs) throw new SpdyError(`stream ${streamId} is not the peer's to open`);
    if (streamId <= this.#lastReceived) {
      this.#reset(streamId, RST.PROTOCOL_ERROR);
      return;
    }
    this.#lastReceived = streamId;
    if (this.#streams.size >= MAX_STREAMS) {
      this.#reset(streamId, RST.REFUSED_STREAM);
      return;
    }
    const stream = new SpdyStream({ id: streamId, headers }, this.#host);
    this.#streams.set(streamId, stream);
    if (!this.#options.onStream(stream)) {
      this.#streams.delete(streamId);
      this.#reset(streamId, RST.REFUSED_STREAM);
      stream.receiveReset();
      return;
    }
    this.#send({ type: 'synReply', streamId, fin: false, block: this.#deflater.write(NO_HEADERS) });
    stream.opened();
    if (frame.fin) stream.receiveEnd();
  }

  #data(streamId: number, bytes: Buffer, fin: boolean): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      // For a stream that was closed meanwhile it is late; for one that never was it is wrong.
      if (streamId > this.#lastReceived && streamId >= this.#nextId)
        this.#reset(streamId, RST.INVALID_STREAM);
      return;
    }
    if (!stream.receive(bytes)) {
      this.#full.add(stream);
      this.#transport.pause();
    }
    if (fin) stream.receiveEnd();
  }

  #drained(stream: SpdyStream): void {
    if (this.#full.delete(stream) && this.#full.size === 0) this.#transport.resume();
  }

  #gone(stream: SpdyStream, whole: boolean): void {
    this.#streams.delete(stream.id);
    this.#drained(stream);
    if (!whole) this.#reset(stream.id, RST.CANCEL);
  }

  #reply(streamId: number): void {
    const stream = this.#streams.get(streamId);
    const opening = this.#opening.get(streamId);
    this.#opening.delete(streamId);
    stream?.opened();
    if (stream !== undefined) opening?.resolve(stream);
  }

  #refused(streamId: number): void {
    this.#opening.get(streamId)?.reject(new SpdyError('the peer refused the stream'));
    this.#opening.delete(streamId);
  }

  #writeData(streamId: number, chunks: Buffer[], fin: boolean, done: (error?: Error | null) => void): void {
    if (this.#closing) {
      done(new SpdyError('the connection is closed'));
      return;
    }
    const pieces = chunks.flatMap(cut);
    this.#transport.cork();
    for (const piece of pieces) {
      this.#transport.write(encodeDataHead(streamId, piece.length, false));
      this.#transport.write(piece, piece === pieces.at(-1) && !fin ? done : undefined);
    }
    if (fin) this.#transport.write(encodeDataHead(streamId, 0, true), done);
    else if (pieces.length === 0) done();
    this.#transport.uncork();
  }

  #reset(streamId: number, status: number): void {
    this.#send({ type: 'rstStream', streamId, status });
  }

  #send(frame: ControlFrame): void {
    if (this.#closing) return;
    const bytes = encodeControl(frame);
    this.#unreadAnswers += bytes.length;
    this.#transport.write(bytes, () => {
      this.#unreadAnswers -= bytes.length;
    });
    // It asks and does not listen.
    if (this.#unreadAnswers > MAX_UNREAD_ANSWERS) this.#transport.destroy();
  }

  /** The peer sends and reads no more. */
  #lost(): void {
    this.#closing = true;
    for (const stream of [...this.#streams.values()]) stream.connectionLost();
    for (const streamId of [...this.#opening.keys()]) this.#refused(streamId);
    this.#end();
  }

  #end(): void {
    if (this.#transport.writableEnded || this.#transport.destroyed) return;
    this.#transport.end();
    // What still comes is dropped: closing a socket with unread bytes would cut off what the peer has not read yet.
    this.#transport.resume();
    const timer = setTimeout(() => this.#transport.destroy(), LINGER_MS);
    this.#transport.once('close', () => clearTimeout(timer));
  }
}

const NOTHING = Buffer.alloc(0);

function cut(chunk: Buffer): Buffer[] {
  if (chunk.length <= MAX_DATA_LENGTH) return chunk.length === 0 ? [] : [chunk];
  const pieces: Buffer[] = [];
  for (let at = 0; at < chunk.length; at += MAX_DATA_LENGTH)
    pieces.push(chunk.subarray(at, at + MAX_DATA_LENGTH));
  return pieces;
}
