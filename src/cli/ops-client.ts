import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { ERROR_CODES, type ErrorCode, errnoOf, SkiffError } from '../base/errors.ts';

/** Calls of the daemon's ops.sock. Errors are SkiffErrors with the daemon's own message. */
export class OpsClient {
  readonly #socketPath: string;

  constructor(options: { socketPath: string }) {
    this.#socketPath = options.socketPath;
  }

  async get(path: string, signal?: AbortSignal): Promise<unknown> {
    return parsed(await this.#send('GET', path, undefined, signal));
  }

  async post(path: string, body?: unknown, signal?: AbortSignal): Promise<unknown> {
    return parsed(await this.#send('POST', path, body, signal));
  }

  /** The lines of a streamed answer as they come. */
  async *lines(
    method: 'GET' | 'POST',
    path: string,
    body?: unknown,
    signal?: AbortSignal,
  ): AsyncGenerator<unknown> {
    const reply = await this.#send(method, path, body, signal);
    // readline would not tell that the connection broke in the middle.
    let rest = '';
    try {
      reply.setEncoding('utf8');
      for await (const chunk of reply as AsyncIterable<string>) {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) yield JSON.parse(line);
      }
    } catch (cause) {
      signal?.throwIfAborted();
      throw broken(cause);
    }
  }

  async #send(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const reply = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = request({ socketPath: this.#socketPath, method, path, signal, agent: false }, resolve);
      call.once('error', (cause) => reject(unreachable(cause, this.#socketPath)));
      call.end(text);
    });
    if ((reply.statusCode ?? 500) < 400) return reply;
    throw errorOf(await parsed(reply));
  }
}

/** An `{ error, code }` answer as the error that it was. */
export function errorOf(body: unknown): SkiffError {
  const { error, code } = (body ?? {}) as { error?: unknown; code?: unknown };
  const known = ERROR_CODES.find((name) => name === code) satisfies ErrorCode | undefined;
  return new SkiffError(known ?? 'internal', typeof error === 'string' ? error : JSON.stringify(body));
}

/** Resolves where somebody listens on the unix socket; else rejects with what to do. */
export function probe(socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath, () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', (cause) => reject(unreachable(cause, socketPath)));
  });
}

/** Why a socket of the daemon cannot be reached, and what to do. */
export function unreachable(cause: unknown, socketPath: string): SkiffError {
  const errno = errnoOf(cause);
  if (errno === 'ENOENT' || errno === 'ECONNREFUSED') {
    return new SkiffError(
      'unavailable',
      `connect to ${socketPath}: no daemon listens there; start it with "skiff serve", or name its directory with --state`,
    );
  }
  if (errno === 'EACCES' || errno === 'EPERM') {
    return new SkiffError('permission_denied', `connect to ${socketPath}: only root may; try with sudo`);
  }
  return SkiffError.from(cause, `connect to ${socketPath}`, 'unavailable');
}

function broken(cause: unknown): SkiffError {
  return SkiffError.from(cause, 'the daemon ended before its answer did', 'unavailable');
}

async function parsed(reply: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of reply as AsyncIterable<Buffer>) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}
