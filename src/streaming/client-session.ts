import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, type WebSocket, WebSocketServer } from 'ws';
import { messageOf, SkiffError } from '../base/errors.ts';
import type { AttachSession, ExecSession, StreamingApi } from '../service/streaming.ts';
import type { Negotiated } from './negotiate.ts';
import { type Forward, forwardOverSpdy, forwardOverWebSocket } from './port-forward.ts';
import { commandOverSpdy, commandOverWebSocket, type RemoteCommand } from './remote-command.ts';
import type { StreamRequest } from './requests.ts';
import type { Outcome } from './status.ts';

/** A client that came with a good token and has been agreed with. */
export interface Client {
  request: StreamRequest;
  negotiated: Exclude<Negotiated, { transport: 'none' }>;
  upgrade: Upgrade;
}

interface Upgrade {
  request: IncomingMessage;
  socket: Duplex;
  /** What the client sent after its request. */
  head: Buffer;
}

interface Options {
  creationTimeoutMs: number;
}

interface Deps {
  service: StreamingApi;
}

/** Longest message of a WebSocket, as the peers have it. */
const MAX_MESSAGE = 32 * 1024 * 1024;
/** Bytes that a tunnel takes ahead of its session. */
const TUNNEL_BUFFER = 256 * 1024;

/** Upgrades the connection and serves it to its end; how it ended, in words. */
export async function serveClient(client: Client, options: Options, deps: Deps): Promise<string> {
  const { request } = client;
  if (request.kind === 'portforward') {
    const forward: Forward = (port, data) => deps.service.portForward(request.session.sandboxId, port, data);
    await servePortForward(client, request.session.ports, options, forward);
    return 'done';
  }
  const command = await openCommand(client, request.session, options);
  const outcome = await outcomeOf(request, command, deps.service);
  await command.end(outcome);
  return 'error' in outcome ? outcome.error : `exit code ${outcome.exitCode}`;
}

async function outcomeOf(
  { kind, session }: StreamRequest,
  { streams }: RemoteCommand,
  service: StreamingApi,
): Promise<Outcome> {
  try {
    if (kind === 'exec') return { exitCode: await service.exec(session as ExecSession, streams) };
    await service.attach(session as AttachSession, streams);
    return { exitCode: 0 };
  } catch (cause) {
    return { error: messageOf(cause) };
  }
}

async function openCommand(
  { negotiated, upgrade }: Client,
  wanted: AttachSession,
  { creationTimeoutMs }: Options,
): Promise<RemoteCommand> {
  const { protocol } = negotiated;
  if (negotiated.transport === 'spdy') {
    const transport = acceptSpdy(upgrade, protocol);
    return commandOverSpdy({ protocol, wanted, creationTimeoutMs }, { transport });
  }
  return commandOverWebSocket({ protocol, wanted }, { socket: await acceptWebSocket(upgrade, protocol) });
}

async function servePortForward(
  { negotiated, upgrade }: Client,
  ports: number[],
  options: Options,
  forward: Forward,
): Promise<void> {
  const { protocol } = negotiated;
  switch (negotiated.transport) {
    case 'spdy':
      return forwardOverSpdy(options, { transport: acceptSpdy(upgrade, protocol), forward });
    case 'tunnel': {
      const socket = await acceptWebSocket(upgrade, negotiated.subprotocol);
      const transport = createWebSocketStream(socket, { readableHighWaterMark: TUNNEL_BUFFER });
      return forwardOverSpdy(options, { transport, forward });
    }
    case 'websocket': {
      const socket = await acceptWebSocket(upgrade, protocol);
      return forwardOverWebSocket({ protocol, ports }, { socket, forward });
    }
  }
}

function acceptSpdy({ socket, head }: Upgrade, protocol: string): Duplex {
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n' +
      `X-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
  );
  if (head.length > 0) socket.unshift(head);
  return socket;
}

/** Rejects where the client's handshake is wrong: ws answers that itself, and closes. */
function acceptWebSocket({ request, socket, head }: Upgrade, protocol: string): Promise<WebSocket> {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE,
  });
  // Agreed already. ws takes tokens only for names, which that of the tunnel, with its slash, is not.
  delete request.headers['sec-websocket-protocol'];
  server.on('headers', (headers) => {
    if (protocol !== '') headers.push(`Sec-WebSocket-Protocol: ${protocol}`);
  });
  return new Promise((resolve, reject) => {
    socket.once('close', () => reject(new SkiffError('canceled', 'the client went away')));
    server.handleUpgrade(request, socket as import('node:net').Socket, head, resolve);
  });
}
