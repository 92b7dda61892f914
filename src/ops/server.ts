import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { SkiffError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { listenPrivate } from '../base/unix-socket.ts';
import type { OpsApi } from './api.ts';
import { type Call, sendError, sendJson, sendText } from './http.ts';
import { pullImage } from './image-pull.ts';
import { checkImages, exportImages, imagesUsage, importImages } from './image-store.ts';
import { readJournal } from './journal.ts';
import { EXPOSITION_TYPE } from './metrics/exposition.ts';

type Handler = (call: Call, api: OpsApi) => Promise<void> | void;

const UNWANTED_BODY_MS = 1000;

/** Path -> method -> handler. */
const ROUTES: Record<string, Record<string, Handler>> = {
  '/healthz': { GET: health },
  '/version': { GET: ({ response }, api) => sendJson(response, 200, api.runtime.version()) },
  '/status': {
    GET: async ({ response }, api) => sendJson(response, 200, await api.runtime.status(true)),
  },
  '/config': { GET: ({ response }, api) => sendJson(response, 200, api.config()) },
  '/config/reload': {
    POST: async ({ response }, api) => sendJson(response, 200, await api.reloadConfig()),
  },
  '/operations': { GET: ({ response }, api) => sendJson(response, 200, api.operations()) },
  '/metrics': { GET: ({ response }, api) => sendText(response, 200, EXPOSITION_TYPE, api.metrics()) },
  '/journal': { GET: readJournal },
  '/images/pull': { POST: pullImage },
  '/images/usage': { GET: imagesUsage },
  '/images/check': { POST: checkImages },
  '/images/export': { POST: exportImages },
  '/images/import': { POST: importImages },
};

/**
 * HTTP and JSON on a unix socket, for everything that CRI has no call for. Only
 * root reaches the socket (mode 0600). Errors are `{ error, code }`.
 */
export class OpsServer {
  readonly #path: string;
  readonly #api: OpsApi;
  readonly #log: Log;
  readonly #server: Server;
  readonly #closing = new AbortController();

  constructor(options: { path: string }, deps: { api: OpsApi; log: Log }) {
    this.#path = options.path;
    this.#api = deps.api;
    this.#log = deps.log;
    this.#server = createServer((request, response) => void this.#serve(request, response));
    this.#server.maxConnections = 256;
  }

  /** Fails with `failed_precondition` where another daemon serves the socket. */
  async listen(): Promise<void> {
    await listenPrivate(this.#server, this.#path);
  }

  /** Ends every stream and closes the socket. */
  async close(): Promise<void> {
    this.#closing.abort(new SkiffError('unavailable', 'the daemon is shutting down'));
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once('close', () => gone.abort(new SkiffError('canceled', 'the client went away')));
    response.on('error', (err) => this.#log.debug({ err }, 'ops reply broke'));
    try {
      const url = URL.parse(request.url ?? '/', 'http://ops');
      if (url === null) throw new SkiffError('invalid_argument', `read request: ${request.url} is no path`);
      const signal = AbortSignal.any([gone.signal, this.#closing.signal]);
      await handlerOf(
        request,
        response,
        url,
      )({ request, response, query: url.searchParams, signal }, this.#api);
    } catch (cause) {
      const error = SkiffError.from(cause);
      this.#log.debug({ err: error, method: request.method, url: request.url }, 'ops call failed');
      if (response.headersSent) {
        response.destroy();
        return;
      }
      if (!request.complete) discardRest(request);
      sendError(response, error);
    }
  }
}

function handlerOf(request: IncomingMessage, response: ServerResponse, url: URL): Handler {
  const methods = ROUTES[url.pathname];
  if (methods === undefined) {
    const known = Object.keys(ROUTES).join(', ');
    return () =>
      sendJson(response, 404, { error: `there is no ${url.pathname}; known: ${known}`, code: 'not_found' });
  }
  const handler = methods[request.method ?? ''];
  if (handler !== undefined) return handler;
  const allowed = Object.keys(methods).join(', ');
  return () => {
    response.setHeader('allow', allowed);
    const error = `${url.pathname} takes ${allowed}, not ${request.method}`;
    sendJson(response, 405, { error, code: 'unimplemented' });
  };
}

/** A client that still writes would not see the answer if the socket were closed at once. */
function discardRest(request: IncomingMessage): void {
  request.resume();
  const timer = setTimeout(() => request.destroy(), UNWANTED_BODY_MS);
  request.once('close', () => clearTimeout(timer));
}

/** 200 where pods can run, 503 with the conditions where they cannot. */
async function health({ response }: Call, api: OpsApi): Promise<void> {
  const { conditions } = await api.runtime.status(false);
  const ready = conditions.every((condition) => condition.type !== 'RuntimeReady' || condition.status);
  sendJson(response, ready ? 200 : 503, { status: ready ? 'ok' : 'not ready', conditions });
}
