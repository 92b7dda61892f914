/**
 * Many ADDs and DELs, or one GC: "the runtime must exclusively execute either
 * gc or add and delete" (CNI SPEC.md section 3). A GC waits for what runs and
 * holds back what comes; plugins end by their timeout, so nobody waits for ever.
 */
export class Gate {
  #sharing = new Set<Promise<unknown>>();
  #exclusive: Promise<unknown> = Promise.resolve();

  /** Runs `work` beside others, after an exclusive one that was asked for before. */
  async share<T>(work: () => Promise<T>): Promise<T> {
    const running = settled(this.#exclusive).then(work);
    this.#sharing.add(running);
    try {
      return await running;
    } finally {
      this.#sharing.delete(running);
    }
  }

  /** Runs `work` alone. */
  async exclude<T>(work: () => Promise<T>): Promise<T> {
    const before = Promise.all([settled(this.#exclusive), ...[...this.#sharing].map(settled)]);
    const running = before.then(work);
    this.#exclusive = settled(running);
    return running;
  }
}

async function settled(promise: Promise<unknown>): Promise<void> {
  await promise.catch(() => undefined);
}
