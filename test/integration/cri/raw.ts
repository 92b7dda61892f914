import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A bare connection to the socket; errors are swallowed, the server is to cut it off. */
export async function rawConnection(path: string): Promise<Socket> {
  const socket = connect(path);
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.resume();
  return socket;
}

/** An HTTP/2 session on the socket, without a gRPC client's own deadlines. */
export function rawSession(path: string): ClientHttp2Session {
  const session = connectHttp2('http://localhost', { createConnection: () => connect(path) });
  session.on('error', () => {});
  return session;
}

/** The length-prefixed form of one gRPC message. */
export function frame(body: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** Sends one unary call with `headers` and the bytes of a request; the status and message of the answer. */
export async function rawCall(
  session: ClientHttp2Session,
  path: string,
  body: Uint8Array,
  headers: Record<string, string> = {},
): Promise<{ status: string; message: string }> {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  stream.on('error', () => {});
  stream.resume();
  let status: Record<string, unknown> = {};
  const take = (more: Record<string, unknown>): void => {
    status = { ...status, ...more };
  };
  stream.on('response', take);
  stream.on('trailers', take);
  stream.end(body);
  await once(stream, 'close');
  return {
    status: String(status['grpc-status']),
    message: decodeURIComponent(String(status['grpc-message'] ?? '')),
  };
}

/** Waits until `holds` does, for at most five seconds. */
export async function eventually(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (holds()) return;
    await sleep(10);
  }
  throw new Error(`did not come true within 5 s: ${what}`);
}
