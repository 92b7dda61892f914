import { open } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { getSystemErrorName } from 'node:util';
import { SkiffError } from '../base/errors.ts';
import { encodeRequest, FrameDecoder, type ShimMessage, type ShimRequest } from './shim-protocol.ts';

const SOCKET_NAME = 'shim.sock';
/** sun_path without its NUL, unix(7). */
const SOCKET_PATH_MAX = 107;

type State = Extract<ShimMessage, { type: 'state' }>;
export type Exit = Extract<ShimMessage, { type: 'exit' }>;
type Reply = Extract<ShimMessage, { type: 'state' | 'done' }>;
type Output = Extract<ShimMessage, { type: 'stdout' | 'stderr' }>;

interface Pending {
  resolve(reply: Reply): void;
  reject(error: SkiffError): void;
}

/**
 * One connection to a shim: requests and their answers in order, output as it
 * comes, and how the container ended.
 */
export class ShimConnection {
  readonly socket: Socket;
  /** The container's end; null = the connection ended without a word of it. Never rejects. */
  readonly exited: Promise<Exit | null>;
  /** Takes output of an attached connection. */
  onOutput: (output: Output) => void = () => undefined;
  readonly #pending: Pending[] = [];
  readonly #decoder = new FrameDecoder();
  #exit: Exit | null = null;
  #lost: SkiffError | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    const { promise, resolve } = Promise.withResolvers<Exit | null>();
    this.exited = promise;
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('error', (cause) => {
      this.#lost ??= SkiffError.from(cause, 'talk to the shim', 'unavailable');
    });
    socket.on('close', () => {
      this.#lost ??= new SkiffError('unavailable', 'talk to the shim: the connection has ended');
      for (const call of this.#pending.splice(0)) call.reject(this.#lost);
      resolve(this.#exit);
    });
  }

  get ended(): boolean {
    return this.#exit !== null;
  }

  async hello(): Promise<State> {
    const reply = await this.#ask({ type: 'hello' });
    if (reply.type !== 'state')
      throw new SkiffError('data_loss', 'greet the shim: it answered something else');
    return reply;
  }

  /** Sends a request and waits until it is done; the name of the errno where the shim refused, else undefined. */
  async request(request: ShimRequest): Promise<string | undefined> {
    const reply = await this.#ask(request);
    if (reply.type !== 'done') throw new SkiffError('data_loss', 'ask the shim: it answered something else');
    return reply.errno === 0 ? undefined : getSystemErrorName(-reply.errno);
  }

  close(): void {
    this.socket.destroy();
  }

  #ask(request: ShimRequest): Promise<Reply> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    this.#pending.push({ resolve, reject });
    this.socket.write(encodeRequest(request));
    return promise;
  }

  #read(chunk: Buffer): void {
    try {
      for (const message of this.#decoder.push(chunk)) this.#take(message);
    } catch (cause) {
      this.#lost = SkiffError.from(cause);
      this.socket.destroy();
    }
  }

  #take(message: ShimMessage): void {
    if (message.type === 'exit') this.#exit = message;
    else if (message.type === 'stdout' || message.type === 'stderr') this.onOutput(message);
    else this.#pending.shift()?.resolve(message);
  }
}

/** Connects to the shim of `stateDir`; `unavailable` where none listens. */
export async function connectSocket(stateDir: string): Promise<ShimConnection> {
  const path = join(stateDir, SOCKET_NAME);
  try {
    if (Buffer.byteLength(path) <= SOCKET_PATH_MAX) return await connectPath(path);
    // A descriptor of the directory is a short name for it.
    const directory = await open(stateDir, 'r');
    try {
      return await connectPath(`/proc/self/fd/${directory.fd}/${SOCKET_NAME}`);
    } finally {
      await directory.close();
    }
  } catch (cause) {
    throw SkiffError.from(cause, 'connect to the shim', 'unavailable');
  }
}

function connectPath(path: string): Promise<ShimConnection> {
  const { promise, resolve, reject } = Promise.withResolvers<ShimConnection>();
  const socket = connect({ path });
  socket.once('error', reject);
  socket.once('connect', () => {
    socket.off('error', reject);
    resolve(new ShimConnection(socket));
  });
  return promise;
}
