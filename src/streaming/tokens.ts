import { randomBytes } from 'node:crypto';
import { SkiffError } from '../base/errors.ts';

/** As the kubelet's own library has it: a client comes within a minute, and so many may be awaited. */
export const TOKEN_LIFE_MS = 60_000;
export const MAX_TOKENS = 1000;
const TOKEN_BYTES = 24;

/** Requests that wait for their clients, by a token that nobody can guess and that is good once. */
export class Tokens<T> {
  readonly #waiting = new Map<string, { request: T; diesAt: number }>();
  readonly #now: () => number;

  constructor(options: { now?: () => number } = {}) {
    this.#now = options.now ?? (() => performance.now());
  }

  /** `resource_exhausted` where too many are outstanding. */
  insert(request: T): string {
    this.#sweep();
    if (this.#waiting.size >= MAX_TOKENS)
      throw new SkiffError(
        'resource_exhausted',
        `make a streaming URL: ${MAX_TOKENS} are waiting for their clients; try again in a minute`,
      );
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    this.#waiting.set(token, { request, diesAt: this.#now() + TOKEN_LIFE_MS });
    return token;
  }

  /** What the token stands for, once; undefined for one that is unknown, used or too old. */
  consume(token: string): T | undefined {
    this.#sweep();
    const entry = this.#waiting.get(token);
    this.#waiting.delete(token);
    return entry?.request;
  }

  /** They all live equally long, so the oldest come first. */
  #sweep(): void {
    const now = this.#now();
    for (const [token, { diesAt }] of this.#waiting) {
      if (diesAt > now) return;
      this.#waiting.delete(token);
    }
  }
}
