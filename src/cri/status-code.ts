import { ERROR_CODES, type ErrorCode, SkiffError } from '../base/errors.ts';

/** Longest text of a status: it travels in one HTTP/2 header block, percent-encoded. */
const MAX_DETAILS = 8192;

/** The gRPC number of an error code; the list is in the order of the numbers, from 1. */
export function statusNumber(code: ErrorCode): number {
  return ERROR_CODES.indexOf(code) + 1;
}

/** The error code under a gRPC number; `unknown` for one that there is not. */
export function errorCode(number: number): ErrorCode {
  return ERROR_CODES[number - 1] ?? 'unknown';
}

/**
 * Begins of messages that the kubelet makes reasons of (k8s.io/cri-api pkg/errors). It looks at the whole
 * text of the error, from which its client takes the code away only where that is UNKNOWN.
 */
const KUBELET_REASONS = /^(RegistryUnavailable|SignatureValidationFailed)\b/;

/** What a call that failed answers. */
export function statusOf(error: SkiffError): { code: number; details: string } {
  // A lone surrogate would make the encoding of the header throw.
  return {
    code: statusNumber(KUBELET_REASONS.test(error.message) ? 'unknown' : error.code),
    details: error.message.toWellFormed().slice(0, MAX_DETAILS).toWellFormed(),
  };
}

/** An error that grpc-js hands to a client, as the SkiffError that the server answered. */
export function errorOf(value: unknown): SkiffError {
  if (value instanceof Error && 'code' in value && typeof value.code === 'number' && 'details' in value)
    return new SkiffError(errorCode(value.code), String(value.details), { cause: value });
  return SkiffError.from(value);
}
