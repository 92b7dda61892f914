import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Duplex, Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { SkiffError } from '../base/errors.ts';
import type { AttachSession, TerminalSize } from '../service/streaming.ts';
import { SpdySession } from './spdy/session.ts';
import type { Outcome } from './status.ts';

/** An exec or attach as its client has it; null where it was not asked for. */
export interface ClientCommand {
  stdin: Writable | null;
  stdout: Readable | null;
  stderr: Readable | null;
  resize(size: TerminalSize): void;
  /** How it ended, once all output has come. Rejects with `unavailable` where the connection broke. */
  outcome: Promise<Outcome>;
  close(): Promise<void>;
}

/** Comes to a URL that Exec or Attach answered; it must be asked for the same streams. */
export async function openCommand(
  url: string,
  wanted: Pick<AttachSession, 'tty' | 'stdin' | 'stdout' | 'stderr'>,
): Promise<ClientCommand> {
  const session = await connectSpdy(url, 'v4.channel.k8s.io');
  const open = (type: string) => session.open(new Map([['streamtype', type]]));
  const optional = (type: 'stdin' | 'stdout' | 'stderr') => (wanted[type] ? open(type) : null);
  const [error, stdin, stdout, stderr, sizes] = await Promise.all([
    open('error'),
    optional('stdin'),
    optional('stdout'),
    optional('stderr'),
    wanted.tty ? open('resize') : null,
  ]);
  stdin?.resume();
  const outcome = readOutcome(error);
  // Who closes early does not ask.
  outcome.catch(() => undefined);
  return {
    stdin,
    stdout,
    stderr,
    resize: ({ width, height }) => void sizes?.write(`${JSON.stringify({ Width: width, Height: height })}\n`),
    outcome,
    close: () => session.close(),
  };
}

/** Many connections to the ports of one pod. */
export interface ClientForward {
  /** A connection to a port of the pod; what goes wrong with it later comes to `onError`. */
  connect(port: number, onError: (message: string) => void): Promise<Duplex>;
  /** Resolves when the session is over. */
  closed: Promise<void>;
  close(): Promise<void>;
}

/** Comes to a URL that PortForward answered. */
export async function openForward(url: string): Promise<ClientForward> {
  const session = await connectSpdy(url, 'portforward.k8s.io');
  let requests = 0;
  return {
    async connect(port, onError) {
      const headers = { port: String(port), requestid: String(requests++) };
      const open = (streamtype: string) => session.open(new Map(Object.entries({ streamtype, ...headers })));
      const error = await open('error');
      error.end();
      text(error).then(
        (message) => message === '' || onError(message),
        () => undefined,
      );
      return open('data');
    },
    closed: session.closed,
    close: () => session.close(),
  };
}

/** `not_found` for a token that is used or too old; `unavailable` where nobody answers. */
export async function connectSpdy(url: string, protocol: string): Promise<SpdySession> {
  const transport = await upgrade(url, {
    connection: 'Upgrade',
    upgrade: 'SPDY/3.1',
    'x-stream-protocol-version': protocol,
  });
  return new SpdySession({ role: 'client', onStream: () => false }, { transport });
}

function upgrade(url: string, headers: Record<string, string>): Promise<Duplex> {
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  // The URL, with its secret, came over a socket that only root can write; there is no authority to ask for more.
  const options = { method: 'POST', headers, rejectUnauthorized: false, agent: false as const };
  const request = url.startsWith('https:') ? httpsRequest(url, options) : httpRequest(url, options);
  request.on('upgrade', (_, socket, head) => {
    if (head.length > 0) socket.unshift(head);
    resolve(socket);
  });
  request.on('response', (response) => {
    const code = response.statusCode === 404 ? 'not_found' : 'unavailable';
    text(response).then(
      (said) => reject(new SkiffError(code, `open stream: ${said.trim()}`)),
      (cause) => reject(SkiffError.from(cause, 'open stream', 'unavailable')),
    );
  });
  request.on('error', (cause) => reject(SkiffError.from(cause, 'open stream', 'unavailable')));
  request.end();
  return promise;
}

interface Status {
  status?: string;
  message?: string;
  reason?: string;
  details?: { causes?: { reason?: string; message?: string }[] };
}

async function readOutcome(error: Readable): Promise<Outcome> {
  const said = await text(error).catch(() => '');
  if (said === '') throw new SkiffError('unavailable', 'the daemon broke the stream off');
  const status = JSON.parse(said) as Status;
  if (status.status === 'Success') return { exitCode: 0 };
  const exitCode = status.details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message;
  return exitCode === undefined ? { error: status.message ?? said } : { exitCode: Number(exitCode) };
}
