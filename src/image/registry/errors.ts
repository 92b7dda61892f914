import { formatDuration } from '../../base/duration.ts';
import { type ErrorCode, SkiffError } from '../../base/errors.ts';

/**
 * The kubelet knows this prefix (k8s.io/cri-api pkg/errors, ErrRegistryUnavailable)
 * and shows it as the reason of a pod that waits, so nothing may stand before it.
 */
const UNAVAILABLE_PREFIX = 'RegistryUnavailable';

/** Errors of a connection that a second try may not meet: the peer was there and went, or was slow. */
const PASSING = new Set([
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'UND_ERR_SOCKET',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
]);
const RETRIED_STATUSES = new Set([408, 425, 429, 500, 502, 503, 504]);
/** A certificate that was looked at and not taken. */
const DISTRUST = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME/;
/** What OpenSSL makes of an answer that is not TLS. */
const NO_TLS = new Set(['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG']);
const MAX_RETRY_AFTER_MS = 30_000;

/** A registry that cannot be reached or does not serve: code `unavailable`, message as the kubelet knows it. */
export class RegistryError extends SkiffError {
  /** Worth another try. */
  readonly passing: boolean;
  /** What the registry's Retry-After said, null where it said nothing. */
  readonly retryAfterMs: number | null;
  /** HTTP status, 0 where there was no answer. */
  readonly status: number;

  constructor(
    code: ErrorCode,
    message: string,
    facts: { passing: boolean; retryAfterMs?: number | null; status?: number; cause?: unknown },
  ) {
    super(code, message, { cause: facts.cause });
    this.passing = facts.passing;
    this.retryAfterMs = facts.retryAfterMs ?? null;
    this.status = facts.status ?? 0;
  }
}

/** What went wrong below HTTP: name not found, connection refused or cut, certificate not trusted. */
export function connectionError(cause: unknown, action: string): RegistryError {
  const code = connectionCode(cause);
  return new RegistryError('unavailable', `${UNAVAILABLE_PREFIX}: ${action}: ${explain(cause, code)}`, {
    passing: PASSING.has(code),
    cause,
  });
}

/** A body that brought no byte for `ms`. */
export function stalled(action: string, ms: number): RegistryError {
  return new RegistryError(
    'unavailable',
    `${UNAVAILABLE_PREFIX}: ${action}: no byte came for ${formatDuration(ms)}`,
    { passing: false },
  );
}

/** An answer whose status is not what was asked for; `detail` is the registry's own word. */
export function statusError(
  status: number,
  headers: Record<string, string | string[] | undefined>,
  action: string,
  detail: string,
): RegistryError {
  const says = `${action}: the registry answered ${status}${detail === '' ? '' : ` (${detail})`}`;
  const passing = RETRIED_STATUSES.has(status);
  const facts = { passing, status, retryAfterMs: retryAfter(headers['retry-after']) };
  if (status === 404) return new RegistryError('not_found', `${says}; check the name and the tag`, facts);
  if (status === 401)
    return new RegistryError('unauthenticated', `${says}; check the credentials or the image's name`, facts);
  if (status === 403)
    return new RegistryError('permission_denied', `${says}; these credentials may not pull it`, facts);
  if (status === 407)
    return new RegistryError('failed_precondition', `${action}: the proxy wants other credentials`, facts);
  if (passing || status >= 500)
    return new RegistryError('unavailable', `${UNAVAILABLE_PREFIX}: ${says}`, facts);
  return new RegistryError('failed_precondition', says, facts);
}

/** The messages of a registry's error document (distribution-spec, error codes), or a short text as it stands. */
export function errorDetail(body: string): string {
  try {
    const { errors } = JSON.parse(body) as { errors?: { code?: string; message?: string }[] };
    if (Array.isArray(errors))
      return errors.map((e) => [e.code, e.message].filter(Boolean).join(': ')).join('; ');
  } catch {
    // Not the registry's own error document but a proxy's page: its first line says most.
  }
  return (body.trim().split('\n')[0] ?? '').slice(0, 200);
}

/** True for a host that answered the begin of TLS with something else. */
export function speaksNoTls(error: unknown): boolean {
  return error instanceof RegistryError && NO_TLS.has(connectionCode(error.cause));
}

/** True for a host with which no connection came about, so that its other scheme may say more. */
export function isSilent(error: unknown): boolean {
  return error instanceof RegistryError && !DISTRUST.test(connectionCode(error.cause));
}

function connectionCode(cause: unknown): string {
  for (let error = cause; error instanceof Error; error = error.cause)
    if ('code' in error && typeof error.code === 'string') return error.code;
  return '';
}

function explain(cause: unknown, code: string): string {
  const text = cause instanceof Error ? cause.message || code : String(cause);
  if (code === 'ECONNREFUSED') return `connection refused (${text}); is the registry running?`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return `${text}; check the registry's name and this node's DNS`;
  if (DISTRUST.test(code)) return `${text}; the registry's certificate is not trusted on this node`;
  if (NO_TLS.has(code))
    return `${text}; the registry speaks plain http: name it under plain_http if that is meant`;
  return text;
}

/** Seconds or an HTTP date (RFC 9110, section 10.2.3), in milliseconds from now. */
function retryAfter(header: string | string[] | undefined): number | null {
  const text = Array.isArray(header) ? header[0] : header;
  if (text === undefined) return null;
  const ms = /^\d+$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS);
}
