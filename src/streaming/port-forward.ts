import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { messageOf } from '../base/errors.ts';
import { SpdySession } from './spdy/session.ts';
import type { SpdyStream } from './spdy/stream.ts';
import { CHANNEL_PROTOCOLS } from './websocket/channels.ts';
import { ChannelConnection } from './websocket/connection.ts';

/** Connects `data` to a port until both have ended; rejects where there is nothing to connect to. */
export type Forward = (port: number, data: Duplex) => Promise<void>;

interface Pair {
  data: SpdyStream | null;
  error: SpdyStream | null;
  timer: NodeJS.Timeout;
}

/**
 * Port-forward over SPDY: two streams for each connection, `data` and `error`,
 * with the headers port and requestid. Resolves when the session is over.
 */
export async function forwardOverSpdy(
  options: { creationTimeoutMs: number },
  deps: { transport: Duplex; forward: Forward },
): Promise<void> {
  const pairs = new Map<string, Pair>();
  const onStream = (stream: SpdyStream): boolean => {
    const port = portOf(stream.headers.get('port') ?? '');
    const type = stream.headers.get('streamtype');
    if (port === undefined || (type !== 'data' && type !== 'error')) return false;
    const id = requestId(stream, type);
    const pair = pairs.get(id) ?? open(id);
    if (pair[type] !== null) return false;
    pair[type] = stream;
    if (pair.data === null || pair.error === null) return true;
    pairs.delete(id);
    clearTimeout(pair.timer);
    void serve(pair.data, pair.error, () => deps.forward(port, pair.data as SpdyStream));
    return true;
  };
  const open = (id: string): Pair => {
    const timer = setTimeout(() => giveUp(id), options.creationTimeoutMs);
    const pair: Pair = { data: null, error: null, timer };
    pairs.set(id, pair);
    return pair;
  };
  const giveUp = (id: string): void => {
    const pair = pairs.get(id);
    pairs.delete(id);
    pair?.error?.end(`port-forward request ${id}: its other stream did not come in time`);
    pair?.data?.destroy();
  };
  const session = new SpdySession({ role: 'server', onStream }, { transport: deps.transport });
  await session.closed;
  for (const { timer } of pairs.values()) clearTimeout(timer);
}

/**
 * Port-forward over the channels of a WebSocket: channel 2n is the data of port
 * n, 2n+1 its errors; each opens with the port, 16 bits little-endian. There is
 * one connection to each port. Resolves when all of them are over.
 */
export async function forwardOverWebSocket(
  options: { protocol: string; ports: number[] },
  deps: { socket: WebSocket; forward: Forward },
): Promise<void> {
  const { protocol, ports } = options;
  const codec = CHANNEL_PROTOCOLS[protocol] as (typeof CHANNEL_PROTOCOLS)[string];
  const connection = new ChannelConnection({ role: 'server', codec, channels: ports.length * 2 }, deps);
  const serving = ports.map((port, index) => {
    const [data, error] = [connection.channel(index * 2), connection.channel(index * 2 + 1)];
    const name = Buffer.alloc(2);
    name.writeUInt16LE(port);
    data.write(name);
    error.write(name);
    return serve(data, error, () => deps.forward(port, data));
  });
  await Promise.all(serving);
  await connection.close();
}

/** Both streams end with the forwarding: that is what clients wait for. */
async function serve(data: Duplex, error: Duplex, forward: () => Promise<void>): Promise<void> {
  error.resume();
  try {
    await forward();
    data.end();
    error.end();
  } catch (cause) {
    error.end(messageOf(cause));
    await new Promise((resolve) => error.once('finish', resolve).once('close', resolve));
    data.destroy();
  }
}

function portOf(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port > 0 && port <= 0xffff ? port : undefined;
}

/** Old clients number nothing, and open the streams of a connection one after the other, the error stream first. */
function requestId(stream: SpdyStream, type: 'data' | 'error'): string {
  return stream.headers.get('requestid') ?? `of stream ${type === 'error' ? stream.id : stream.id - 2}`;
}
