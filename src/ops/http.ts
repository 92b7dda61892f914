import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type ErrorCode, SkiffError } from '../base/errors.ts';

const MAX_BODY = 1024 * 1024;

const STATUS: Partial<Record<ErrorCode, number>> = {
  invalid_argument: 400,
  out_of_range: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  already_exists: 409,
  failed_precondition: 409,
  aborted: 409,
  resource_exhausted: 429,
  unimplemented: 501,
  unavailable: 503,
  deadline_exceeded: 504,
};

/** One request as a handler sees it. `signal` is aborted when the client goes away. */
export interface Call {
  request: IncomingMessage;
  response: ServerResponse;
  query: URLSearchParams;
  signal: AbortSignal;
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  sendText(response, status, 'application/json', `${JSON.stringify(body)}\n`);
}

export function sendText(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

/** `{ error, code }` with the HTTP status that fits the code. */
export function sendError(response: ServerResponse, error: SkiffError): void {
  sendJson(response, STATUS[error.code] ?? 500, errorBody(error));
}

export function errorBody(error: SkiffError): { error: string; code: ErrorCode } {
  return { error: error.message, code: error.code };
}

/** The request's body as JSON; `invalid_argument` where it is none or larger than a mebibyte. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  // A stream that is left early would be destroyed, and the socket with it, before the error is sent.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY) throw new SkiffError('invalid_argument', `read body: over ${MAX_BODY} bytes`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw new SkiffError('invalid_argument', 'read body: expected a JSON object');
  }
}

/**
 * Sends `lines` as JSON, one per line, as fast as the client reads and no
 * faster. An error of `lines` becomes a last line `{ error, code }`: the HTTP
 * status is long sent by then.
 */
export async function sendLines({ response, signal }: Call, lines: AsyncIterable<unknown>): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.flushHeaders();
  try {
    for await (const line of lines) await writeLine(response, line, signal);
  } catch (cause) {
    if (signal.aborted) return;
    await writeLine(response, errorBody(SkiffError.from(cause)), signal);
  }
  response.end();
}

async function writeLine(response: ServerResponse, line: unknown, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (!response.write(`${JSON.stringify(line)}\n`)) await once(response, 'drain', { signal });
}
