import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SkiffError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { splitAddress } from '../../base/tcp-address.ts';
import { sendText } from '../http.ts';
import { EXPOSITION_TYPE } from './exposition.ts';

/** Milliseconds in which a scraper must have sent its request. */
const REQUEST_MS = 10_000;

/** GET /metrics over TCP, and nothing else: whoever reaches the address may read it. */
export class MetricsServer {
  readonly #address: string;
  readonly #text: () => string;
  readonly #log: Log;
  readonly #server: Server;

  /** `address`: host:port, port 0 = any that is free. */
  constructor(options: { address: string }, deps: { text: () => string; log: Log }) {
    this.#address = options.address;
    this.#text = deps.text;
    this.#log = deps.log;
    this.#server = createServer(
      { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, connectionsCheckingInterval: REQUEST_MS },
      (request, response) => this.#serve(request, response),
    );
    this.#server.maxConnections = 64;
  }

  /** The port in use once it listens. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Listens; `unavailable` where the address is taken or not this host's. */
  async listen(): Promise<void> {
    const listening = Promise.withResolvers<void>();
    this.#server.once('error', listening.reject);
    this.#server.listen(splitAddress(this.#address), listening.resolve);
    try {
      await listening.promise;
    } catch (cause) {
      throw SkiffError.from(cause, `serve metrics on ${this.#address} ([metrics] address)`, 'unavailable');
    }
    this.#server.off('error', listening.reject);
    this.#server.on('error', (err) => this.#log.warn({ err }, 'metrics are not served to a scraper'));
    this.#log.info({ address: this.#address, port: this.port }, 'metrics are served');
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const [path] = (request.url ?? '').split('?');
    if (path !== '/metrics') sendText(response, 404, 'text/plain', 'only /metrics is served here\n');
    else if (request.method !== 'GET' && request.method !== 'HEAD')
      sendText(response, 405, 'text/plain', '/metrics takes GET\n');
    else sendText(response, 200, EXPOSITION_TYPE, this.#text());
  }
}
