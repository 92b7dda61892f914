import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

export interface Seen {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  authorization: string;
  range: string;
}

/** PEM texts. */
export interface ServerCertificate {
  cert: string;
  key: string;
  ca?: string;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A registry that does what a test tells it, on a free port of 127.0.0.1. */
export class ScriptedRegistry implements AsyncDisposable {
  readonly seen: Seen[] = [];
  readonly #server: Server;
  readonly #routes = new Map<string, Handler>();

  private constructor(tls?: ServerCertificate) {
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      const { method = '', url: path = '', headers } = request;
      const { authorization = '', range = '' } = headers;
      this.seen.push({ method, path, headers, authorization, range });
      const route = this.#routes.get(path.split('?')[0] ?? '');
      if (route !== undefined) route(request, response);
      else response.writeHead(path === '/v2/' ? 200 : 404).end();
    };
    this.#server =
      tls === undefined
        ? createServer(answer)
        : createTlsServer({ ...tls, requestCert: tls.ca !== undefined, rejectUnauthorized: false }, answer);
  }

  /** With `tls` it speaks https; with an authority in it, it asks clients for their certificates. */
  static async start(tls?: ServerCertificate): Promise<ScriptedRegistry> {
    const registry = new ScriptedRegistry(tls);
    await new Promise<void>((resolve) => registry.#server.listen(0, '127.0.0.1', resolve));
    return registry;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What `path` answers, query left out. */
  on(path: string, handler: Handler): void {
    this.#routes.set(path, handler);
  }

  requests(path: string): Seen[] {
    return this.seen.filter((seen) => seen.path.split('?')[0] === path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
