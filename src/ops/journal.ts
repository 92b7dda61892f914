import { parseDuration } from '../base/duration.ts';
import { SkiffError } from '../base/errors.ts';
import type { JournalRow } from '../base/state-protocol.ts';
import type { OpsApi } from './api.ts';
import { type Call, sendLines } from './http.ts';
import { Mailbox } from './mailbox.ts';

const DEFAULT_LIMIT = 1000;
const MAX_LIMIT = 100_000;

interface JournalRequest {
  subject: string;
  after: number;
  /** Nanoseconds since the epoch. */
  since: bigint;
  limit: number;
  follow: boolean;
}

/**
 * `GET /journal?subject=&after=SEQ&since=TIME&limit=N&follow=1`: the newest N
 * state changes, oldest first, one JSON object per line; with follow=1 goes on
 * with new ones. TIME is RFC 3339 or an age such as 10m.
 */
export async function readJournal(call: Call, api: OpsApi): Promise<void> {
  const request = requestOf(call.query);
  await sendLines(call, entries(api, request, call.signal));
}

async function* entries(
  api: OpsApi,
  request: JournalRequest,
  signal: AbortSignal,
): AsyncGenerator<JournalRow> {
  const fresh = new Mailbox<JournalRow>({ key: (row) => row.seq, limit: MAX_LIMIT });
  // Listening starts before the stored entries are read, so none falls between.
  const stop = request.follow ? api.onJournal((row) => fresh.put(row)) : () => {};
  const close = () => fresh.close();
  signal.addEventListener('abort', close, { once: true });
  try {
    const { subject, after, limit } = request;
    let last = after;
    for (const row of await api.journal({ subject, after, limit })) {
      last = Math.max(last, row.seq);
      if (BigInt(row.at) >= request.since) yield row;
    }
    if (!request.follow) return;
    for await (const row of fresh) {
      if (row.seq > last && row.subject.startsWith(subject)) yield row;
    }
  } finally {
    stop();
    signal.removeEventListener('abort', close);
  }
}

function requestOf(query: URLSearchParams): JournalRequest {
  for (const name of query.keys()) {
    if (!['subject', 'after', 'since', 'limit', 'follow'].includes(name)) {
      throw new SkiffError('invalid_argument', `read journal: unknown parameter ${name}`);
    }
  }
  return {
    subject: query.get('subject') ?? '',
    after: whole(query, 'after', 0, Number.MAX_SAFE_INTEGER),
    since: instant(query.get('since') ?? ''),
    limit: whole(query, 'limit', DEFAULT_LIMIT, MAX_LIMIT),
    follow: ['1', 'true'].includes(query.get('follow') ?? ''),
  };
}

function whole(query: URLSearchParams, name: string, byDefault: number, max: number): number {
  const text = query.get(name) ?? String(byDefault);
  const value = /^\d+$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY;
  if (value <= max) return value;
  throw new SkiffError(
    'invalid_argument',
    `read journal: ${name}: expected a whole number up to ${max}, found ${text}`,
  );
}

function instant(text: string): bigint {
  if (text === '') return 0n;
  const age = parseDuration(text);
  const milliseconds = age === undefined ? Date.parse(text) : Date.now() - age;
  if (Number.isFinite(milliseconds)) return BigInt(milliseconds) * 1_000_000n;
  throw new SkiffError(
    'invalid_argument',
    `read journal: since: expected a time such as 2030-01-31T12:00:00Z or 10m, found ${text}`,
  );
}
