/**
 * Calls under way, by key: a retry of a call that has not ended joins it and
 * gets the same result, so a client that timed out and asks again never starts
 * the work twice (containerd #4604: "failed to reserve container name").
 */
export class Inflight<T> {
  readonly #calls = new Map<string, Promise<T>>();

  /** The result of the call under `key`, started by `start` unless one is under way. */
  join(key: string, start: () => Promise<T>): Promise<T> {
    const running = this.#calls.get(key);
    if (running !== undefined) return running;
    const call = (async () => start())().finally(() => this.#calls.delete(key));
    this.#calls.set(key, call);
    return call;
  }

  /** The call under `key`, if one is under way. */
  get(key: string): Promise<T> | undefined {
    return this.#calls.get(key);
  }

  get size(): number {
    return this.#calls.size;
  }
}
