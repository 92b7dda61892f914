import { AsyncLocalStorage } from 'node:async_hooks';
import type { SkiffError } from './errors.ts';

/** Something that was done, with its parts; times in milliseconds of the monotonic clock. */
export interface Done {
  name: string;
  startedAt: number;
  endedAt: number;
  /** What it was about, by name. */
  subject: Record<string, string>;
  error?: SkiffError;
  parts: { name: string; startedAt: number; endedAt: number | null }[];
}

/** A call that is followed; everything is told of when it has ended. */
export interface Span {
  /** Something that was done for the call. */
  add(done: Done): void;
  end(done: Omit<Done, 'parts'>): void;
}

/** Begins to follow a call. `header` gives what the caller sent, which may say what it is a part of. */
export type Follow = (path: string, header: (name: string) => string | undefined) => Span;

const current = new AsyncLocalStorage<Span>();

/** Runs `work`, all of whose asynchronous parts find `span` by `currentSpan`. */
export function inSpan<T>(span: Span | undefined, work: () => T): T {
  return span === undefined ? work() : current.run(span, work);
}

/** The span of the call that this is done for, undefined where none is followed. */
export function currentSpan(): Span | undefined {
  return current.getStore();
}
