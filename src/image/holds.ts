/** Names that somebody counts on for a while, counted: what is held must not be removed. */
export class Holds {
  readonly #counts = new Map<string, number>();

  /** A hold without names; `add` names to it, `release` it once. */
  take(): { add(...names: string[]): void; release(): void } {
    const held: string[] = [];
    return {
      add: (...names) => {
        for (const name of names) this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
        held.push(...names);
      },
      release: () => {
        for (const name of held.splice(0)) {
          const left = (this.#counts.get(name) ?? 1) - 1;
          if (left === 0) this.#counts.delete(name);
          else this.#counts.set(name, left);
        }
      },
    };
  }

  has(name: string): boolean {
    return this.#counts.has(name);
  }

  keys(): Iterable<string> {
    return this.#counts.keys();
  }
}
