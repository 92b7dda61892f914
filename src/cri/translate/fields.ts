import { SkiffError } from '../../base/errors.ts';

/** `value` where the request has it; a missing message or an empty string is refused by its field name. */
export function required<T>(value: T | null | undefined, field: string): T {
  if (value === null || value === undefined || value === '')
    throw new SkiffError('invalid_argument', `check request: ${field} is required and was not given`);
  return value;
}

/**
 * An int64 or uint64 of a message, which is a decimal string, as a number. What a number cannot hold to
 * the last digit becomes the nearest that it can: such values only ever mean "no limit".
 */
export function integer(value: string): number {
  const number = Number(value);
  return Math.min(Number.MAX_SAFE_INTEGER, Math.max(Number.MIN_SAFE_INTEGER, number));
}

/** The number in an Int64Value, null where the message is absent. */
export function wrapped(message: { value: string } | null): number | null {
  return message === null ? null : integer(message.value);
}

/** A UInt64Value of `value`, null where the value is not known. */
export function wrap(value: number | string | null): { value: number | string } | null {
  return value === null ? null : { value };
}

/**
 * The entry of `table` under an enum value. A value that a newer client knows and this proto does not comes
 * as a bare number: it is `unknown`, as proto3 readers are to treat it.
 */
export function fromEnum<T, U>(
  table: Readonly<Record<string, T>>,
  value: string | number,
  unknown: U,
): T | U {
  return Object.hasOwn(table, value) ? (table[value] as T) : unknown;
}

/** The `info` map of a verbose reply: one JSON text under "info", which is where crictl looks. */
export function verboseInfo(info: Record<string, unknown> | null): Record<string, string> {
  return info === null ? {} : { info: JSON.stringify(info) };
}
