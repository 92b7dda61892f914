import { SkiffError } from '../../base/errors.ts';
import type { BlobSource } from './client.ts';
import { connectionError, RegistryError } from './errors.ts';
import { type HttpAnswer, type HttpCall, type HttpClient, requestError } from './http.ts';
import { pause, type RetryOptions } from './retry.ts';

const PARTIAL = 206;
const NOT_SATISFIABLE = 416;

/**
 * The bytes of a blob as they come, not verified. A connection that is cut is
 * taken up again with Range where it ended, so whoever reads notices nothing.
 */
export async function* blobBytes(
  source: BlobSource,
  options: { retry: RetryOptions; stallTimeoutMs: number },
  deps: { http: HttpClient },
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const action = `fetch layer ${source.digest} of ${source.image}`;
  let received = 0;
  for (let failures = 0; ; ) {
    const before = received;
    try {
      for await (const chunk of bytesFrom(source, received, deps.http, { action, signal, options })) {
        received += chunk.byteLength;
        yield chunk;
      }
      if (received >= source.size) return;
      throw connectionError(
        new Error(`the body ended after ${received} of ${source.size} bytes`),
        action,
        true,
      );
    } catch (cause) {
      // Not there to be had: RFC 9110, section 15.5.17.
      if (cause instanceof RegistryError && cause.status === NOT_SATISFIABLE)
        throw new SkiffError(
          'data_loss',
          `${action}: the registry has ${received} of its ${source.size} bytes; push the image again`,
        );
      // A connection that brought something counts as a fresh start.
      failures = received > before ? 1 : failures + 1;
      if (!(cause instanceof RegistryError) || !cause.passing || failures >= options.retry.attempts)
        throw cause;
      await pause(options.retry, failures, cause.retryAfterMs, signal);
    }
  }
}

interface Attempt {
  action: string;
  signal: AbortSignal;
  options: { stallTimeoutMs: number };
}

async function* bytesFrom(
  source: BlobSource,
  offset: number,
  http: HttpClient,
  attempt: Attempt,
): AsyncGenerator<Uint8Array> {
  const range: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
  const call: HttpCall = { url: source.url, headers: { ...source.headers, ...range }, ...attempt };
  const answer = await http.getOk(call, offset === 0 ? [] : [PARTIAL]);
  let skip = answer.status === PARTIAL ? checkRange(answer, offset, attempt.action) : offset;
  try {
    for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
      // A registry that ignores Range sends all of it again.
      const rest = skip === 0 ? chunk : chunk.subarray(skip);
      skip = Math.max(skip - chunk.byteLength, 0);
      if (rest.byteLength > 0) yield rest;
    }
  } catch (cause) {
    throw requestError(cause, call, attempt.options.stallTimeoutMs);
  } finally {
    answer.body.destroy();
  }
}

function checkRange(answer: HttpAnswer, offset: number, action: string): number {
  const range = answer.headers['content-range'];
  if (typeof range === 'string' && range.startsWith(`bytes ${offset}-`)) return 0;
  answer.body.destroy();
  throw new SkiffError(
    'unavailable',
    `RegistryUnavailable: ${action}: asked for the bytes from ${offset}, the registry sent ${JSON.stringify(range ?? '')}`,
  );
}
