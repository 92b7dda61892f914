import { readFile } from 'node:fs/promises';
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, isIPv6 } from 'node:net';
import { hostname } from 'node:os';
import type { Duplex } from 'node:stream';
import { messageOf, SkiffError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { splitAddress } from '../base/tcp-address.ts';
import type { StreamingApi, StreamUrls } from '../service/streaming.ts';
import { type Client, serveClient } from './client-session.ts';
import { type Negotiated, negotiate, PORT_FORWARD, REMOTE_COMMAND } from './negotiate.ts';
import { checkedRequest, type StreamRequest } from './requests.ts';
import { type KeyPair, selfSigned } from './self-signed.ts';
import { Tokens } from './tokens.ts';

export interface StreamServerOptions {
  /** "host:port"; port 0 = any that is free. */
  address: string;
  tls: boolean;
  /** PEM files; both '' = a certificate that is made at start. */
  tlsCertFile: string;
  tlsKeyFile: string;
  /** A connection on which nothing moves for so long is closed. */
  idleTimeoutMs: number;
  /** How long a client may take to open its streams. */
  creationTimeoutMs: number;
}

const PATH = /^\/(exec|attach|portforward)\/([\w-]+)$/;
/** Probes of a connection on which nothing moves, so that a client whose machine is gone is noticed. */
const KEEP_ALIVE_MS = 60_000;

/**
 * Door 2: HTTP on which clients of Exec, Attach and PortForward come with their
 * tokens, and that becomes SPDY/3.1 or WebSocket.
 */
export class StreamServer implements StreamUrls {
  readonly #options: StreamServerOptions;
  readonly #service: StreamingApi;
  readonly #log: Log;
  readonly #tokens = new Tokens<StreamRequest>();
  readonly #connections = new Set<Duplex>();
  #server: Server | undefined;
  #url = '';

  constructor(options: StreamServerOptions, deps: { service: StreamingApi; log: Log }) {
    this.#options = options;
    this.#service = deps.service;
    this.#log = deps.log;
  }

  /** Connections that have become sessions. */
  get size(): number {
    return this.#connections.size;
  }

  /** Listens; `unavailable` where the address is taken or not this host's. */
  async listen(): Promise<void> {
    const { tls, address } = this.#options;
    const { host, port } = splitAddress(address);
    const server = tls ? createTlsServer(await this.#keyPair(host)) : createServer();
    server.on('request', (request, response) => this.#refuseRequest(request, response));
    server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port }, () => {
          server.off('error', reject);
          resolve();
        });
      });
    } catch (cause) {
      throw SkiffError.from(cause, `serve streams on ${address} ([streaming] address)`, 'unavailable');
    }
    this.#server = server;
    this.#url = `${tls ? 'https' : 'http'}://${reachable(server.address() as AddressInfo)}`;
    this.#log.info({ url: this.#url }, 'streams are served');
  }

  /** Breaks off every session and closes the port. */
  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const connection of this.#connections) connection.destroy();
    server.closeAllConnections();
    await closed;
  }

  exec: StreamUrls['exec'] = (session) => this.#urlFor({ kind: 'exec', session });
  attach: StreamUrls['attach'] = (session) => this.#urlFor({ kind: 'attach', session });
  portForward: StreamUrls['portForward'] = (session) => this.#urlFor({ kind: 'portforward', session });

  #urlFor(request: StreamRequest): string {
    const checked = checkedRequest(request, this.#service);
    return `${this.#url}/${checked.kind}/${this.#tokens.insert(checked)}`;
  }

  async #keyPair(host: string): Promise<KeyPair> {
    const { tlsCertFile, tlsKeyFile } = this.#options;
    if (tlsCertFile === '') return selfSigned([host, hostname(), 'localhost', '127.0.0.1', '::1']);
    try {
      const [key, cert] = await Promise.all([readFile(tlsKeyFile, 'utf8'), readFile(tlsCertFile, 'utf8')]);
      return { key, cert };
    } catch (cause) {
      throw SkiffError.from(cause, 'read the key pair of [streaming]', 'failed_precondition');
    }
  }

  /** Without an upgrade there is nothing to serve, but a token that comes is used up. */
  #refuseRequest(request: IncomingMessage, response: ServerResponse): void {
    const { status, message, headers } = this.#admit(request).refusal ?? NOT_FOUND;
    response.writeHead(status, { ...headers, 'content-type': 'text/plain' });
    response.end(`${message}\n`);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', (err) => this.#log.debug({ err }, 'a stream connection broke'));
    const { admitted, refusal } = this.#admit(request);
    if (admitted === undefined) {
      refuse(socket, refusal ?? NOT_FOUND);
      return;
    }
    this.#keep(socket);
    const client: Client = { ...admitted, upgrade: { request, socket, head } };
    const facts = { kind: client.request.kind, ...subjectOf(client.request), ...client.negotiated };
    const startedAt = performance.now();
    this.#log.info(facts, 'stream session begins');
    const deps = { service: this.#service };
    const { creationTimeoutMs } = this.#options;
    serveClient(client, { creationTimeoutMs }, deps)
      .catch((cause: unknown) => {
        socket.destroy();
        return `failed: ${messageOf(cause)}`;
      })
      .then((outcome) =>
        this.#log.info(
          { ...facts, ms: Math.round(performance.now() - startedAt), outcome },
          'stream session ended',
        ),
      );
  }

  #admit(request: IncomingMessage): Admission {
    const [, kind, token = ''] = PATH.exec(request.url?.split('?')[0] ?? '') ?? [];
    if (kind === undefined) return { refusal: NOT_FOUND };
    if (request.method !== 'GET' && request.method !== 'POST') return { refusal: WRONG_METHOD };
    const found = this.#tokens.consume(token);
    if (found === undefined || found.kind !== kind) return { refusal: NOT_FOUND };
    const negotiated = negotiate(request, found.kind === 'portforward' ? PORT_FORWARD : REMOTE_COMMAND);
    if (negotiated.transport === 'none') return { refusal: negotiated };
    // Only SPDY can name a port later, for each connection.
    const portless = found.kind === 'portforward' && found.session.ports.length === 0;
    if (portless && negotiated.transport === 'websocket') return { refusal: NO_PORT };
    return { admitted: { request: found, negotiated } };
  }

  #keep(socket: Duplex): void {
    this.#connections.add(socket);
    socket.once('close', () => this.#connections.delete(socket));
    if (!('setTimeout' in socket)) return;
    const connection = socket as import('node:net').Socket;
    connection.setKeepAlive(true, KEEP_ALIVE_MS);
    connection.setTimeout(this.#options.idleTimeoutMs, () => connection.destroy());
  }
}

interface Refusal {
  status: number;
  message: string;
  headers: Record<string, string>;
}

interface Admission {
  admitted?: { request: StreamRequest; negotiated: Exclude<Negotiated, { transport: 'none' }> };
  refusal?: Refusal;
}

const NOT_FOUND: Refusal = {
  status: 404,
  message: 'no such stream: its URL is good once and for a minute',
  headers: {},
};
const NO_PORT: Refusal = { status: 400, message: 'PortForward named no port for WebSocket', headers: {} };
const WRONG_METHOD: Refusal = { status: 405, message: 'use GET or POST', headers: { allow: 'GET, POST' } };

function refuse(socket: Duplex, { status, message, headers }: Refusal): void {
  const lines = Object.entries({
    ...headers,
    'content-type': 'text/plain',
    'content-length': String(Buffer.byteLength(message) + 1),
    connection: 'close',
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${message}\n`);
}

function subjectOf({ kind, session }: StreamRequest): Record<string, string> {
  return kind === 'portforward' ? { pod: session.sandboxId } : { container: session.containerId };
}

/** Where the kubelet, on this host, finds what listens on `address`. */
function reachable({ address, port }: AddressInfo): string {
  const host = { '0.0.0.0': '127.0.0.1', '::': '::1' }[address] ?? address;
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}
