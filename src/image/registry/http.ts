import type { Readable } from 'node:stream';
import { getCACertificates } from 'node:tls';
import type { Agent } from 'undici';
import { SkiffError } from '../../base/errors.ts';
import type { TlsOptions } from '../types.ts';
import { connectionError, errorDetail, stalled, statusError } from './errors.ts';
import { loadUndici, type Undici } from './undici.ts';

export interface HttpOptions {
  /** How to speak TLS to a host (with its port, as in the URL); hosts not named get the system's defaults. */
  tls: Record<string, TlsOptions>;
  /** A body that brings no byte for so long is given up, in milliseconds. */
  stallTimeoutMs: number;
}

export interface HttpAnswer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  /** Must be read to its end or destroyed. */
  body: Readable;
  /** Where the answer came from after redirects. */
  url: URL;
}

export interface HttpCall {
  url: string | URL;
  headers: Record<string, string>;
  signal: AbortSignal;
  /** What is being done, for messages: `fetch manifest of busybox:latest`. */
  action: string;
}

const CONNECT_TIMEOUT_MS = 15_000;
const HEADERS_TIMEOUT_MS = 60_000;
const MAX_REDIRECTS = 10;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const ERROR_BODY_BYTES = 16_384;
const USER_AGENT = 'skiff';

/**
 * HTTP GET over undici: follows redirects itself, because credentials must not
 * follow them to another origin, and turns every failure into an error that
 * says what to do.
 */
export class HttpClient {
  readonly #options: HttpOptions;
  readonly #agents = new Map<string, Agent>();

  constructor(options: HttpOptions) {
    this.#options = options;
  }

  /** The final answer, whatever its status. */
  async get(call: HttpCall): Promise<HttpAnswer> {
    let url = new URL(call.url);
    let headers = call.headers;
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const answer = await this.#once(url, headers, call);
      const location = answer.headers.location;
      if (!REDIRECTS.has(answer.status) || typeof location !== 'string') return answer;
      answer.body.destroy();
      const next = redirectTarget(location, url, call.action);
      if (next.origin !== url.origin) headers = withoutCredentials(headers);
      url = next;
    }
    throw new SkiffError(
      'unavailable',
      `RegistryUnavailable: ${call.action}: more than ${MAX_REDIRECTS} redirects`,
    );
  }

  /** As `get`, but a status other than 200 (and those of `also`) is an error. */
  async getOk(call: HttpCall, also: number[] = []): Promise<HttpAnswer> {
    const answer = await this.get(call);
    if (answer.status === 200 || also.includes(answer.status)) return answer;
    throw await failed(answer, call.action);
  }

  /** Ends the connections that are kept for the next call. */
  async close(): Promise<void> {
    const agents = [...this.#agents.values()];
    this.#agents.clear();
    await Promise.all(agents.map((agent) => agent.destroy()));
  }

  async #once(url: URL, headers: Record<string, string>, call: HttpCall): Promise<HttpAnswer> {
    call.signal.throwIfAborted();
    const undici = await loadUndici();
    try {
      const {
        statusCode,
        headers: got,
        body,
      } = await undici.request(this.#agentFor(url, undici), url, {
        headers: { 'user-agent': USER_AGENT, ...headers },
        signal: call.signal,
      });
      // A body that is dropped after an abort still emits its error.
      body.on('error', () => undefined);
      return { status: statusCode, headers: got, body, url };
    } catch (cause) {
      throw requestError(cause, call, this.#options.stallTimeoutMs);
    }
  }

  #agentFor(url: URL, undici: Undici): Agent {
    const tls = this.#options.tls[url.host] ?? null;
    const key = tls === null ? '' : url.host;
    const known = this.#agents.get(key);
    if (known !== undefined) return known;
    const agent = new undici.Agent({
      allowH2: false,
      headersTimeout: HEADERS_TIMEOUT_MS,
      bodyTimeout: this.#options.stallTimeoutMs,
      connect: { timeout: CONNECT_TIMEOUT_MS, ...tlsSettings(tls) },
    });
    this.#agents.set(key, agent);
    return agent;
  }
}

/** The error that `cause`, met while sending or reading, stands for. */
export function requestError(cause: unknown, call: HttpCall, stallTimeoutMs: number): Error {
  if (call.signal.aborted) return SkiffError.from(call.signal.reason, call.action, 'canceled');
  if (cause instanceof SkiffError) return cause;
  if (cause instanceof Error && 'code' in cause && cause.code === 'UND_ERR_BODY_TIMEOUT')
    return stalled(call.action, stallTimeoutMs);
  return connectionError(cause, call.action);
}

/** The whole body, at most `limit` bytes. */
export async function readBody(answer: HttpAnswer, limit: number, call: HttpCall): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
      length += chunk.byteLength;
      if (length > limit)
        throw new SkiffError(
          'failed_precondition',
          `${call.action}: the answer is longer than ${limit} bytes`,
        );
      chunks.push(chunk);
    }
  } catch (cause) {
    throw requestError(cause, call, 0);
  }
  return Buffer.concat(chunks);
}

async function failed(answer: HttpAnswer, action: string): Promise<Error> {
  let text = '';
  try {
    for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
      text += Buffer.from(chunk).toString('utf8');
      if (text.length > ERROR_BODY_BYTES) break;
    }
  } catch {
    // The status says enough where its explanation does not arrive.
  }
  return statusError(answer.status, answer.headers, action, errorDetail(text));
}

function redirectTarget(location: string, from: URL, action: string): URL {
  const target = URL.parse(location, from.href);
  if (target !== null && (target.protocol === 'http:' || target.protocol === 'https:')) return target;
  throw new SkiffError(
    'failed_precondition',
    `${action}: the registry redirects to ${JSON.stringify(location)}`,
  );
}

function withoutCredentials(headers: Record<string, string>): Record<string, string> {
  const secret = ['authorization', 'cookie', 'proxy-authorization'];
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !secret.includes(name.toLowerCase())));
}

function tlsSettings(tls: TlsOptions | null): Record<string, unknown> {
  if (tls === null) return {};
  const rejectUnauthorized = !tls.skipVerify;
  return tls.ca === null
    ? { rejectUnauthorized }
    : { rejectUnauthorized, ca: [...getCACertificates(), tls.ca] };
}
