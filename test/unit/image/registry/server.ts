import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Seen {
  path: string;
  authorization: string;
  range: string;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A registry that does what a test tells it, on a free port of 127.0.0.1. */
export class ScriptedRegistry implements AsyncDisposable {
  readonly seen: Seen[] = [];
  readonly #server: Server;
  readonly #routes = new Map<string, Handler>();

  private constructor() {
    this.#server = createServer((request, response) => {
      const path = request.url ?? '';
      const { authorization = '', range = '' } = request.headers;
      this.seen.push({ path, authorization, range });
      const route = this.#routes.get(path.split('?')[0] ?? '');
      if (route !== undefined) return route(request, response);
      response.writeHead(path === '/v2/' ? 200 : 404).end();
    });
  }

  static async start(): Promise<ScriptedRegistry> {
    const registry = new ScriptedRegistry();
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
