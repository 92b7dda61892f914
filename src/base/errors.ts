/**
 * One error class for the whole runtime. The codes are those of gRPC
 * (https://grpc.io/docs/guides/status-codes/) in lower case, because every
 * error may reach a CRI client; only cri/ maps them to numbers.
 */
export const ERROR_CODES = [
  'canceled',
  'unknown',
  'invalid_argument',
  'deadline_exceeded',
  'not_found',
  'already_exists',
  'permission_denied',
  'resource_exhausted',
  'failed_precondition',
  'aborted',
  'out_of_range',
  'unimplemented',
  'internal',
  'unavailable',
  'data_loss',
  'unauthenticated',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/**
 * An error with a code. The message starts with the action that failed and,
 * where there is something to do about it, ends with what to do next.
 */
export class SkiffError extends Error {
  override readonly name = 'SkiffError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }

  /**
   * Any thrown value as a SkiffError. `action` is put before the message
   * ("unpack layer sha256:..: ..."); the code of a SkiffError is kept, an
   * aborted signal becomes `canceled` or `deadline_exceeded`, all else `fallback`.
   */
  static from(value: unknown, action = '', fallback: ErrorCode = 'internal'): SkiffError {
    if (value instanceof SkiffError && action === '') return value;
    const text = messageOf(value);
    const message = action === '' ? text : `${action}: ${text}`;
    return new SkiffError(codeOf(value, fallback), message, { cause: value });
  }
}

/** The message of any thrown value. */
export function messageOf(value: unknown): string {
  return value instanceof Error ? value.message : String(value);
}

/** The errno name (`ENOENT`) of a Node or native error, or undefined. */
export function errnoOf(value: unknown): string | undefined {
  if (!(value instanceof Error) || !('code' in value)) return undefined;
  return typeof value.code === 'string' && /^E[A-Z0-9]+$/.test(value.code) ? value.code : undefined;
}

/** True where `value` is a SkiffError with one of `codes`. */
export function isCode(value: unknown, ...codes: ErrorCode[]): value is SkiffError {
  return value instanceof SkiffError && codes.includes(value.code);
}

function codeOf(value: unknown, fallback: ErrorCode): ErrorCode {
  if (value instanceof SkiffError) return value.code;
  if (value instanceof Error && value.name === 'TimeoutError') return 'deadline_exceeded';
  if (value instanceof Error && value.name === 'AbortError') return 'canceled';
  // A full disk or an exhausted table is worth a code of its own: the kubelet shows it to the user.
  if (['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE', 'ENOMEM'].includes(errnoOf(value) ?? ''))
    return 'resource_exhausted';
  return fallback;
}
