import type { Agent, Dispatcher } from 'undici';

export interface Undici {
  Agent: typeof Agent;
  request(agent: Agent, url: URL, options: RequestOptions): Promise<Dispatcher.ResponseData>;
}

export interface RequestOptions {
  headers: Record<string, string>;
  signal: AbortSignal;
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

async function load(): Promise<Undici> {
  const [agent, api] = await Promise.all([
    import('undici/lib/dispatcher/agent.js'),
    import('undici/lib/api/api-request.js'),
  ]);
  return {
    Agent: agent.default,
    request: (dispatcher, url, options) =>
      api.default.call(dispatcher, {
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method: 'GET',
        ...options,
      }),
  };
}
