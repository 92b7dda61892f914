import type { Agent, Dispatcher, ProxyAgent } from 'undici';

export interface Undici {
  Agent: typeof Agent;
  request(dispatcher: Dispatcher, options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData>;
}

let loading: Promise<Undici> | undefined;

/**
 * undici's client, loaded with the first call. Only its inner files: the
 * package's front door also loads fetch, WebSocket, caches and mocks, which
 * takes twice the memory and several times as long, in each worker thread.
 */
export function loadUndici(): Promise<Undici> {
  loading ??= load();
  return loading;
}

/** The dispatcher that reaches https origins through a proxy; loaded only where there is one. */
export async function loadProxyAgent(): Promise<typeof ProxyAgent> {
  const [agent, dispatcher, connect] = await Promise.all([
    import('undici/lib/dispatcher/proxy-agent.js'),
    import('undici/lib/dispatcher/dispatcher.js'),
    import('undici/lib/api/api-connect.js'),
  ]);
  // The front door gives dispatchers their methods; the tunnel needs this one.
  dispatcher.default.prototype.connect = connect.default;
  return agent.default;
}

async function load(): Promise<Undici> {
  const [agent, api] = await Promise.all([
    import('undici/lib/dispatcher/agent.js'),
    import('undici/lib/api/api-request.js'),
  ]);
  return {
    Agent: agent.default,
    request: (dispatcher, options) => api.default.call(dispatcher, options),
  };
}
