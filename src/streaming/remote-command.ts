import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { WebSocket } from 'ws';
import { SkiffError } from '../base/errors.ts';
import { within } from '../base/wait.ts';
import type { AttachSession, RemoteStreams } from '../service/streaming.ts';
import { SpdySession } from './spdy/session.ts';
import type { SpdyStream } from './spdy/stream.ts';
import { type Outcome, statusBytes } from './status.ts';
import { terminalSizes } from './terminal-sizes.ts';
import { CHANNEL_PROTOCOLS } from './websocket/channels.ts';
import { ChannelConnection } from './websocket/connection.ts';

/** The streams of exec and attach, by their names in SPDY; the number is the channel in WebSocket. */
const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;
type StreamType = keyof typeof CHANNEL;
const CHANNELS = 5;

/** A client of exec or attach whose streams are there. */
export interface RemoteCommand {
  streams: RemoteStreams;
  /** Tells how it ended, after all output, and says goodbye. Resolves when the connection is closed. */
  end(outcome: Outcome): Promise<void>;
  /** Breaks off. */
  abort(): void;
}

type Wanted = Pick<AttachSession, 'tty' | 'stdin' | 'stdout' | 'stderr'>;

/**
 * Over SPDY: waits until the client has opened a stream for each part of the
 * session that it asked for, `deadline_exceeded` after `creationTimeoutMs`.
 */
export async function commandOverSpdy(
  options: { protocol: string; wanted: Wanted; creationTimeoutMs: number },
  deps: { transport: Duplex },
): Promise<RemoteCommand> {
  const { protocol, wanted, creationTimeoutMs } = options;
  const expected = expectedStreams(wanted, resizes(protocol));
  const streams = new Map<StreamType, SpdyStream>();
  const complete = Promise.withResolvers<void>();
  const onStream = (stream: SpdyStream): boolean => {
    const type = expected.find((name) => name === stream.headers.get('streamtype'));
    if (type === undefined || streams.has(type)) return false;
    streams.set(type, stream);
    if (streams.size === expected.length) complete.resolve();
    return true;
  };
  const session = new SpdySession({ role: 'server', onStream }, deps);
  const lost = session.closed.then(() => {
    throw new SkiffError('canceled', 'the client went away before its streams were there');
  });
  try {
    const all = Promise.race([complete.promise, lost]);
    if (!(await within(all, creationTimeoutMs, new AbortController().signal)))
      throw new SkiffError(
        'deadline_exceeded',
        `the client opened ${streams.size} of ${expected.length} streams`,
      );
  } catch (cause) {
    void session.close();
    throw cause;
  }
  lost.catch(() => undefined);
  return command({
    get: (type) => streams.get(type) ?? null,
    closed: session.closed,
    close: () => session.close(),
    abort: () => deps.transport.destroy(),
    format: protocol === 'v4.channel.k8s.io' ? 'json' : 'text',
  });
}

/** Over WebSocket: all channels are there from the beginning. */
export function commandOverWebSocket(
  options: { protocol: string; wanted: Wanted },
  deps: { socket: WebSocket },
): RemoteCommand {
  const { protocol, wanted } = options;
  const codec = CHANNEL_PROTOCOLS[protocol];
  if (codec === undefined) throw new SkiffError('internal', `serve WebSocket: no protocol "${protocol}"`);
  const connection = new ChannelConnection({ role: 'server', codec, channels: CHANNELS }, deps);
  const expected = expectedStreams(wanted, true);
  // Input that nobody asked for is dropped, and holds nothing up.
  for (const [type, number] of Object.entries(CHANNEL))
    if (!expected.includes(type as StreamType)) connection.channel(number).resume();
  // An empty message tells the client that the connection stands.
  const first = expected.find((type) => type === 'stdout' || type === 'stderr') ?? 'error';
  connection.announce(CHANNEL[first]);
  return command({
    get: (type) => (expected.includes(type) ? connection.channel(CHANNEL[type]) : null),
    closed: connection.closed,
    close: () => connection.close(),
    abort: () => deps.socket.terminate(),
    format: /^v[45]\./.test(protocol) ? 'json' : 'text',
  });
}

interface Parts {
  get(type: StreamType): Duplex | null;
  closed: Promise<void>;
  close(): Promise<void>;
  abort(): void;
  format: 'json' | 'text';
}

function command({ get, closed, close, abort, format }: Parts): RemoteCommand {
  const gone = new AbortController();
  void closed.then(() => gone.abort(new SkiffError('canceled', 'the client went away')));
  const outputs = (['stdout', 'stderr', 'error'] as const).map(get).filter((stream) => stream !== null);
  // Nothing comes on these, but their end.
  for (const output of outputs) output.resume();
  const resize = get('resize');
  return {
    streams: {
      stdin: get('stdin'),
      stdout: get('stdout'),
      stderr: get('stderr'),
      sizes: resize === null ? none() : terminalSizes(resize),
      gone: gone.signal,
    },
    async end(outcome) {
      get('stdout')?.end();
      get('stderr')?.end();
      get('error')?.end(statusBytes(outcome, format));
      // A client that reads no more keeps its own connection only.
      const written = Promise.allSettled(outputs.map((stream) => finished(stream, { readable: false })));
      await Promise.race([written, closed]);
      await close();
    },
    abort,
  };
}

function expectedStreams(wanted: Wanted, resizes: boolean): StreamType[] {
  const types: StreamType[] = ['error'];
  for (const type of ['stdin', 'stdout', 'stderr'] as const) if (wanted[type]) types.push(type);
  if (wanted.tty && resizes) types.push('resize');
  return types;
}

/** v1 and v2 know no resize stream. */
function resizes(protocol: string): boolean {
  return !['channel.k8s.io', 'v2.channel.k8s.io'].includes(protocol);
}

async function* none(): AsyncGenerator<never> {}
