import { isAbsolute } from 'node:path';
import * as v from 'valibot';
import { parseDuration } from '../base/duration.ts';

/**
 * Building blocks of the schema. The message of every check says what is
 * expected, as a noun phrase: "expected <message>, found <value>".
 */

/** What the schema says about a key beyond its type. */
export interface KeyFacts {
  description: string;
  /** True where a running daemon takes a new value over without a restart. */
  reloadable?: boolean;
  /** True for passwords and the like: never shown. */
  secret?: boolean;
  /** Commented TOML lines for a key that is empty by default. */
  example?: string;
}

const LONGEST_DURATION = 24 * 3_600_000;

export function flag() {
  return v.boolean('true or false');
}

export function text(expected = 'a text') {
  return v.string(expected);
}

export function matching(pattern: RegExp, expected: string) {
  return v.pipe(v.string(expected), v.regex(pattern, expected));
}

export function oneOf<const T extends readonly string[]>(values: T) {
  return v.picklist(values, `one of ${values.map((value) => JSON.stringify(value)).join(', ')}`);
}

export function whole(min: number, max: number) {
  const expected = `a whole number from ${min} to ${max}`;
  return v.pipe(
    v.number(expected),
    v.integer(expected),
    v.minValue(min, expected),
    v.maxValue(max, expected),
  );
}

export function absolutePath() {
  const expected = 'an absolute path';
  return v.pipe(
    v.string(expected),
    v.check((path) => isAbsolute(path) && !path.includes('\0'), expected),
  );
}

/** "5m" in the file, milliseconds in the Config. */
export function duration() {
  const expected = 'a time such as "250ms", "10s" or "5m", at most "24h"';
  return v.pipe(
    v.string(expected),
    v.check((value) => (parseDuration(value) ?? Number.POSITIVE_INFINITY) <= LONGEST_DURATION, expected),
    v.transform((value) => parseDuration(value) ?? 0),
    v.metadata({ duration: true }),
  );
}

export function list<S extends v.GenericSchema>(item: S, expected: string) {
  return v.array(item, expected);
}

/** A table whose keys the user chooses, such as registry hosts. */
export function named<S extends v.GenericSchema>(value: S, expected: string) {
  return v.record(v.string(), value, expected);
}

/** A key of a section with its default as it would stand in the file. */
export function key<S extends v.GenericSchema>(schema: S, byDefault: v.InferInput<S>, facts: KeyFacts) {
  const { description, ...rest } = facts;
  return v.optional(v.pipe(schema, v.description(description), v.metadata({ ...rest })), () => byDefault);
}

/** A table with fixed keys, each of which has a default. */
export function section<E extends v.ObjectEntries>(entries: E, description: string) {
  return v.optional(v.pipe(v.object(entries, 'a table'), v.description(description)), () => ({}) as never);
}
