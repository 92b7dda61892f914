import { SkiffError } from '../../base/errors.ts';
import { RegistryError } from './errors.ts';
import type { HttpAnswer, HttpClient } from './http.ts';
import { Peer, type PeerState } from './peer.ts';
import { pause, type RetryOptions } from './retry.ts';

const PARTIAL = 206;
const NOT_SATISFIABLE = 416;

/** All that another thread needs to fetch a blob itself. */
export interface BlobSource {
  /** Who has it, in the order in which to ask. */
  peers: PeerState[];
  /** Of the repository, `library/busybox`. */
  repository: string;
  digest: string;
  /** Bytes, as the manifest declares them. */
  size: number;
  /** For messages: the image that it belongs to. */
  image: string;
}

/**
 * The bytes of a blob as they come, not verified. A connection that is cut is
 * taken up again with Range where it ended, if need be at the next peer, so
 * whoever reads notices nothing.
 */
export async function* blobBytes(
  source: BlobSource,
  options: { retry: RetryOptions },
  deps: { http: HttpClient },
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const action = `fetch layer ${source.digest} of ${source.image}`;
  const peers = source.peers.map((state) => new Peer(state, deps));
  let received = 0;
  let failures = 0;
  for (let at = 0; ; ) {
    const peer = peers[at];
    if (peer === undefined)
      throw new SkiffError('failed_precondition', `${action}: no host may serve it; look at its hosts.toml`);
    const before = received;
    try {
      for await (const chunk of bytesFrom({
        peer,
        source,
        offset: received,
        action,
        http: deps.http,
        signal,
      })) {
        received += chunk.byteLength;
        yield chunk;
      }
      if (received >= source.size) return;
      throw tooShort(action, received, source.size);
    } catch (cause) {
      if (signal.aborted) throw cause;
      // A connection that brought something counts as a fresh start.
      failures = received > before ? 1 : failures + 1;
      const isLast = at === peers.length - 1;
      // What waits for no second try here may be had at the next one at once.
      const attempts = isLast ? options.retry.attempts : 1 + Number(received > before);
      const passing = cause instanceof RegistryError && cause.passing;
      if (passing && failures < attempts) {
        await pause(options.retry, failures, cause.retryAfterMs, signal);
        continue;
      }
      if (isLast) throw truncated(cause, action, received, source.size);
      failures = 0;
      at += 1;
    }
  }
}

/** Not there to be had: RFC 9110, section 15.5.17. */
function truncated(cause: unknown, action: string, received: number, size: number): unknown {
  const isEnd = cause instanceof RegistryError && cause.status === NOT_SATISFIABLE;
  return isEnd ? tooShort(action, received, size) : cause;
}

/** A body that ended in good order before its time. Worth another try: a proxy on the way may have done it. */
function tooShort(action: string, received: number, size: number): RegistryError {
  const says = `the registry has ${received} of its ${size} bytes; push the image again`;
  return new RegistryError('data_loss', `${action}: ${says}`, { passing: true });
}

interface Attempt {
  peer: Peer;
  source: BlobSource;
  /** Bytes that are here already. */
  offset: number;
  http: HttpClient;
  signal: AbortSignal;
  action: string;
}

async function* bytesFrom(attempt: Attempt): AsyncGenerator<Uint8Array> {
  const { peer, source, offset, http, signal, action } = attempt;
  const { answer, call } = await peer.get({
    path: `${source.repository}/blobs/${source.digest}`,
    headers: offset === 0 ? {} : { range: `bytes=${offset}-` },
    also: offset === 0 ? [] : [PARTIAL],
    signal,
    action,
  });
  let skip = answer.status === PARTIAL ? checkRange(answer, offset, action) : offset;
  try {
    for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
      // A registry that ignores Range sends all of it again.
      const rest = skip === 0 ? chunk : chunk.subarray(skip);
      skip = Math.max(skip - chunk.byteLength, 0);
      if (rest.byteLength > 0) yield rest;
    }
  } catch (cause) {
    throw http.errorOf(cause, call);
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
