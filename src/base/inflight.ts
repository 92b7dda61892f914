import { SkiffError } from './errors.ts';

interface Call<T> {
  result: Promise<T>;
  abort: AbortController;
  callers: number;
}

/**
 * Calls under way, by key. A retry of a call that has not ended joins it and
 * gets the same result, so a client that timed out and asks again never starts
 * the work twice (containerd #4604: "failed to reserve container name").
 *
 * The work is aborted only when every caller has gone away. A caller that comes
 * while an aborted call is still undoing waits for that end, then starts anew.
 */
export class Inflight<T> {
  readonly #calls = new Map<string, Call<T>>();

  /**
   * The result of the call under `key`; `start` runs unless one is under way.
   * Rejects at once when the caller's own `signal` aborts.
   */
  async join(key: string, signal: AbortSignal, start: (signal: AbortSignal) => Promise<T>): Promise<T> {
    for (let old = this.#calls.get(key); old?.abort.signal.aborted; old = this.#calls.get(key))
      await old.result.catch(() => undefined);
    signal.throwIfAborted();
    const call = this.#calls.get(key) ?? this.#start(key, start);
    call.callers += 1;
    return new Promise<T>((resolve, reject) => {
      const leave = () => {
        call.callers -= 1;
        if (call.callers === 0) call.abort.abort(signal.reason);
        // The last caller's answer waits for the undoing: when it has its error, nothing is left.
        if (call.callers === 0) call.result.then(resolve, reject);
        else reject(SkiffError.from(signal.reason, 'wait for the call under way', 'canceled'));
      };
      signal.addEventListener('abort', leave, { once: true });
      call.result.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
    });
  }

  /** Resolves when the call under `key`, if any, has ended, however it ended. */
  async settled(key: string): Promise<void> {
    await this.#calls.get(key)?.result.catch(() => undefined);
  }

  /** How many calls are under way. */
  get size(): number {
    return this.#calls.size;
  }

  has(key: string): boolean {
    return this.#calls.has(key);
  }

  #start(key: string, start: (signal: AbortSignal) => Promise<T>): Call<T> {
    const abort = new AbortController();
    const result = (async () => start(abort.signal))().finally(() => this.#calls.delete(key));
    // Every caller may have left: then nobody listens to a failure.
    result.catch(() => undefined);
    const call = { result, abort, callers: 0 };
    this.#calls.set(key, call);
    return call;
  }
}
