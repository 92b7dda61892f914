import { number, type Sample } from './exposition.ts';

/** Durations in seconds, counted by upper bound. */
export class Histogram {
  readonly #bounds: readonly number[];
  /** One for each bound, then one for what is above all. */
  readonly #counts: number[];
  #sum = 0;

  /** `bounds`: seconds, ascending. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(seconds: number): void {
    const at = this.#bounds.findIndex((bound) => seconds <= bound);
    const bucket = at === -1 ? this.#bounds.length : at;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += seconds;
  }

  /** The samples of a family of type histogram: each bucket counts those below it, too. */
  samples(labels: Record<string, string> = {}): Sample[] {
    let count = 0;
    const buckets = this.#counts.map((own, at): Sample => {
      count += own;
      const le = number(this.#bounds[at] ?? Number.POSITIVE_INFINITY);
      return { suffix: '_bucket', labels: { ...labels, le }, value: count };
    });
    return [
      ...buckets,
      { suffix: '_sum', labels, value: this.#sum },
      { suffix: '_count', labels, value: count },
    ];
  }
}
