import type { ImageRow } from './types.ts';

/** Says which images are pinned, by their names; `*` in a pattern stands for anything, also for `/`. */
export class Pins {
  readonly #patterns: () => readonly string[];
  /** Readers keep what they made of a row by the object, so a row has one pinned form. */
  readonly #pinned = new WeakMap<ImageRow, ImageRow>();

  constructor(deps: { patterns: () => readonly string[] }) {
    this.#patterns = deps.patterns;
  }

  /** The row as it is to be shown. */
  applied(row: ImageRow): ImageRow {
    const patterns = this.#patterns();
    const names = [...row.repoTags, ...row.repoDigests];
    if (!patterns.some((pattern) => names.some((name) => matches(pattern, name)))) return row;
    const pinned = this.#pinned.get(row) ?? { ...row, pinned: true };
    this.#pinned.set(row, pinned);
    return pinned;
  }
}

function matches(pattern: string, name: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(name);
}
