/**
 * Values on their way to a reader that may be slower than their source. A value
 * whose key waits already takes its place, so what waits is bounded by the
 * number of keys: a slow reader of progress sees fewer steps, never old ones.
 */
export class Mailbox<T> {
  readonly #key: (value: T) => unknown;
  readonly #limit: number;
  #waiting = new Map<unknown, T>();
  #closed = false;
  #wake = Promise.withResolvers<void>();

  /** Past `limit` keys the mailbox closes: the reader learns of the end and may come again. */
  constructor(options: { key: (value: T) => unknown; limit: number }) {
    this.#key = options.key;
    this.#limit = options.limit;
  }

  put(value: T): void {
    if (this.#closed) return;
    this.#waiting.set(this.#key(value), value);
    if (this.#waiting.size >= this.#limit) this.#closed = true;
    this.#wake.resolve();
  }

  /** What waits is still read, then the reading ends. */
  close(): void {
    this.#closed = true;
    this.#wake.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const batch = this.#waiting;
      this.#waiting = new Map();
      yield* batch.values();
      if (this.#waiting.size > 0) continue;
      if (this.#closed) return;
      await this.#wake.promise;
      this.#wake = Promise.withResolvers();
    }
  }
}
