import { errnoOf, SkiffError } from '../../base/errors.ts';
import { RegistryError } from '../registry/errors.ts';

/** An error on its way between threads: structured clone keeps neither class nor code. */
export interface WireError {
  code: SkiffError['code'];
  message: string;
  /** HTTP status where a registry answered with it, else 0. */
  status: number;
}

export function toWire(cause: unknown): WireError {
  const error = SkiffError.from(cause);
  // A bare errno says nothing to the reader without the name that its message carries.
  const message = errnoOf(cause) === undefined ? error.message : `unpack layer: ${error.message}`;
  return { code: error.code, message, status: cause instanceof RegistryError ? cause.status : 0 };
}

export function fromWire(error: WireError): SkiffError {
  return new RegistryError(error.code, error.message, { passing: false, status: error.status });
}
