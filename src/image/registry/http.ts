import type { Readable } from 'node:stream';
import { SkiffError } from '../../base/errors.ts';
import { Dispatchers } from './dispatchers.ts';
import { connectionError, errorDetail, stalled, statusError } from './errors.ts';
import type { Environment } from './proxy.ts';
import type { Transport } from './transport.ts';
import { loadUndici } from './undici.ts';

export interface HttpOptions {
  /** A body that brings no byte for so long is given up, in milliseconds; 0 = never. */
  stallTimeoutMs: number;
  /** Where proxies are named; default: this process's environment. */
  environment?: Environment;
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
  transport: Transport;
  signal: AbortSignal;
  /** What is being done, for messages: `fetch manifest of busybox:latest`. */
  action: string;
  /** Fields of a form: the request is a POST with them. */
  form?: Record<string, string>;
}

const HEADERS_TIMEOUT_MS = 60_000;
const MAX_REDIRECTS = 10;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** Redirects that keep method and body (RFC 9110, section 15.4). */
const SAME_METHOD = new Set([307, 308]);
const ERROR_BODY_BYTES = 16_384;
const ERROR_BODY_MS = 5_000;
const USER_AGENT = 'skiff';
/** All that goes along to another origin; whatever else a request has may be a secret. */
const HARMLESS = ['accept', 'range'];

/**
 * HTTP over undici: follows redirects itself, because credentials must not
 * follow them to another origin, and turns every failure into an error that
 * says what to do.
 */
export class HttpClient {
  readonly stallTimeoutMs: number;
  readonly #dispatchers: Dispatchers;

  constructor(options: HttpOptions) {
    this.stallTimeoutMs = options.stallTimeoutMs;
    this.#dispatchers = new Dispatchers(options.environment ?? process.env);
  }

  /** The final answer, whatever its status. */
  async send(call: HttpCall): Promise<HttpAnswer> {
    let url = new URL(call.url);
    let { headers } = call;
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const answer = await this.#once(url, headers, call);
      const location = answer.headers.location;
      if (!REDIRECTS.has(answer.status) || typeof location !== 'string') return answer;
      answer.body.destroy();
      const next = redirectTarget(location, url, call.action);
      if (next.origin !== url.origin) headers = onlyHarmless(headers);
      // A form holds the credentials themselves: it goes nowhere else, and never turns into a GET.
      if (call.form !== undefined && !(next.origin === url.origin && SAME_METHOD.has(answer.status)))
        throw new SkiffError('failed_precondition', `${call.action}: it redirects to ${next.origin}`);
      url = next;
    }
    throw new SkiffError(
      'unavailable',
      `RegistryUnavailable: ${call.action}: more than ${MAX_REDIRECTS} redirects`,
    );
  }

  /** As `send`, but a status other than 200 (and those of `also`) is an error. */
  async sendOk(call: HttpCall, also: number[] = []): Promise<HttpAnswer> {
    const answer = await this.send(call);
    if (answer.status === 200 || also.includes(answer.status)) return answer;
    throw await failure(answer, call.action);
  }

  /** The whole body, at most `limit` bytes. */
  async readBody(answer: HttpAnswer, limit: number, call: HttpCall): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    const tooLong = new SkiffError(
      'failed_precondition',
      `${call.action}: the answer is longer than ${limit} bytes`,
    );
    try {
      if (Number(answer.headers['content-length'] ?? 0) > limit) throw tooLong;
      for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
        length += chunk.byteLength;
        if (length > limit) throw tooLong;
        chunks.push(chunk);
      }
    } catch (cause) {
      throw this.errorOf(cause, call);
    } finally {
      answer.body.destroy();
    }
    return Buffer.concat(chunks);
  }

  /** The error that `cause`, met while sending or reading, stands for. */
  errorOf(cause: unknown, call: Pick<HttpCall, 'signal' | 'action'>): Error {
    if (call.signal.aborted) return SkiffError.from(call.signal.reason, call.action, 'canceled');
    if (cause instanceof SkiffError) return cause;
    if (cause instanceof Error && 'code' in cause && cause.code === 'UND_ERR_BODY_TIMEOUT')
      return stalled(call.action, this.stallTimeoutMs);
    return connectionError(cause, call.action);
  }

  /** Ends the connections that are kept for the next call. */
  close(): Promise<void> {
    return this.#dispatchers.close();
  }

  async #once(url: URL, headers: Record<string, string>, call: HttpCall): Promise<HttpAnswer> {
    call.signal.throwIfAborted();
    const undici = await loadUndici();
    const route = await this.#dispatchers.route(url, call.transport, undici);
    const post = call.form === undefined ? null : new URLSearchParams(call.form).toString();
    const type = post === null ? {} : { 'content-type': 'application/x-www-form-urlencoded' };
    try {
      const {
        statusCode,
        headers: got,
        body,
      } = await undici.request(route.dispatcher, {
        origin: route.origin,
        path: route.path,
        method: post === null ? 'GET' : 'POST',
        headers: { 'user-agent': USER_AGENT, ...type, ...headers, ...route.headers },
        body: post,
        signal: call.signal,
        headersTimeout: HEADERS_TIMEOUT_MS,
        bodyTimeout: this.stallTimeoutMs,
      });
      // A body that is dropped after an abort still emits its error.
      body.on('error', () => undefined);
      return { status: statusCode, headers: got, body, url };
    } catch (cause) {
      const through = route.proxy === '' ? '' : ` through the proxy ${route.proxy}`;
      throw this.errorOf(cause, { signal: call.signal, action: `${call.action}${through}` });
    }
  }
}

/** The error that an answer stands for, with the registry's own word. Takes the body up. */
export async function failure(answer: HttpAnswer, action: string): Promise<Error> {
  let text = '';
  const late = setTimeout(() => answer.body.destroy(), ERROR_BODY_MS);
  try {
    for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
      text += Buffer.from(chunk).toString('utf8');
      if (text.length > ERROR_BODY_BYTES) break;
    }
  } catch {
    // The status says enough where its explanation does not arrive.
  } finally {
    clearTimeout(late);
    answer.body.destroy();
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

function onlyHarmless(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => HARMLESS.includes(name.toLowerCase())),
  );
}
