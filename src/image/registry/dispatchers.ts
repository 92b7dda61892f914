import type { Agent, Dispatcher, ProxyAgent } from 'undici';
import { type Environment, proxyAuthorization, proxyFor } from './proxy.ts';
import { type TlsOptions, tlsOptions } from './secure-context.ts';
import { DEFAULT_TRANSPORT, type Transport } from './transport.ts';
import { loadProxyAgent, type Undici } from './undici.ts';

/** How one request leaves this machine. */
export interface Route {
  dispatcher: Dispatcher;
  /** What goes to the dispatcher: the origin itself, or a proxy's with the whole URL as path. */
  origin: string;
  path: string;
  headers: Record<string, string>;
  /** Origin of the proxy on the way, '' where there is none. */
  proxy: string;
}

/** Connections that are kept, by transport and proxy. */
export class Dispatchers {
  readonly #environment: Environment;
  readonly #kept = new Map<string, Promise<Agent | ProxyAgent>>();

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  async route(url: URL, transport: Transport, undici: Undici): Promise<Route> {
    const path = `${url.pathname}${url.search}`;
    const proxy = proxyFor(url, this.#environment);
    if (proxy === null) {
      const dispatcher = await this.#direct(url, transport, undici);
      return { dispatcher, origin: url.origin, path, headers: {}, proxy: '' };
    }
    if (url.protocol === 'https:') {
      const dispatcher = await this.#keep(`tunnel ${transport.id} ${proxy.href}`, async () =>
        tunnelAgent(await loadProxyAgent(), proxy, transport, await tlsOptions(transport)),
      );
      return { dispatcher, origin: url.origin, path, headers: {}, proxy: proxy.origin };
    }
    // A proxy for plain http takes the whole URL in the request line (RFC 9112, section 3.2.2).
    const dispatcher = await this.#direct(proxy, DEFAULT_TRANSPORT, undici);
    const authorization = proxyAuthorization(proxy);
    const headers = {
      host: url.host,
      ...(authorization !== undefined && { 'proxy-authorization': authorization }),
    };
    return { dispatcher, origin: proxy.origin, path: `${url.origin}${path}`, headers, proxy: proxy.origin };
  }

  /** Ends the connections that are kept for the next call. */
  async close(): Promise<void> {
    const all = await Promise.allSettled(this.#kept.values());
    this.#kept.clear();
    await Promise.all(all.map((made) => made.status === 'fulfilled' && made.value.destroy()));
  }

  #direct(url: URL, transport: Transport, undici: Undici): Promise<Dispatcher> {
    const timeout = transport.dialTimeoutMs;
    return this.#keep(`${url.protocol} ${transport.id}`, async () => {
      const tls = url.protocol === 'https:' ? await tlsOptions(transport) : {};
      return new undici.Agent({ allowH2: false, connect: { timeout, ...tls } });
    });
  }

  #keep(key: string, make: () => Promise<Agent | ProxyAgent>): Promise<Dispatcher> {
    const known = this.#kept.get(key) ?? make();
    this.#kept.set(key, known);
    return known;
  }
}

/** The proxy itself is held to the system's authorities, whatever the registry's settings say. */
function tunnelAgent(
  Tunnel: typeof ProxyAgent,
  proxy: URL,
  transport: Transport,
  tls: TlsOptions,
): ProxyAgent {
  const token = proxyAuthorization(proxy);
  return new Tunnel({
    uri: proxy.origin,
    ...(token !== undefined && { token }),
    allowH2: false,
    connectTimeout: transport.dialTimeoutMs,
    requestTls: { allowH2: false, ...tls },
  });
}
