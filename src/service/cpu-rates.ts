/** Samples nearer to each other than this say little: cgroup CPU time grows in scheduler ticks. */
const LEAST_DISTANCE_NS = 100_000_000n;

interface Sample {
  /** Monotonic, ns. */
  at: bigint;
  usage: bigint;
}

/** CPU use per second of each cgroup, from two samples of its total. */
export class CpuRates {
  readonly #samples = new Map<string, { latest: Sample; rate: bigint | null }>();

  /**
   * Notes that `key` has used `usage` ns in total by now; nanoseconds of CPU
   * per second since the sample before, null for the first one. A total that
   * went back is that of a new cgroup.
   */
  sample(key: string, usage: bigint, at = process.hrtime.bigint()): bigint | null {
    const known = this.#samples.get(key);
    if (known === undefined || usage < known.latest.usage) {
      this.#samples.set(key, { latest: { at, usage }, rate: null });
      return null;
    }
    const distance = at - known.latest.at;
    if (distance < LEAST_DISTANCE_NS) return known.rate;
    const rate = ((usage - known.latest.usage) * 1_000_000_000n) / distance;
    this.#samples.set(key, { latest: { at, usage }, rate });
    return rate;
  }

  forget(key: string): void {
    this.#samples.delete(key);
  }

  get size(): number {
    return this.#samples.size;
  }
}
