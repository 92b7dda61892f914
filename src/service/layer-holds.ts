/**
 * Layer directories that something under way will use before a row says so:
 * an image that is removed while a container is made from it must not take
 * the layers along.
 */
export class LayerHolds {
  readonly #holds = new Map<string, number>();

  /** Holds `directories` until the result is called. */
  take(directories: readonly string[]): () => void {
    for (const directory of directories) this.#holds.set(directory, (this.#holds.get(directory) ?? 0) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      for (const directory of directories) {
        const left = (this.#holds.get(directory) ?? 1) - 1;
        if (left === 0) this.#holds.delete(directory);
        else this.#holds.set(directory, left);
      }
    };
  }

  held(): Iterable<string> {
    return this.#holds.keys();
  }
}
