const SECOND_NS = 1_000_000_000n;
/** Samples nearer to each other than this say little: cgroup CPU time grows in scheduler ticks. */
const LEAST_DISTANCE_NS = SECOND_NS;
/** The mean over more than this is none of the present. */
const GREATEST_DISTANCE_NS = 120n * SECOND_NS;

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
   * per second since the sample before, null for the first one and after a
   * pause of more than two minutes. A total that went back is that of a new cgroup.
   */
  sample(key: string, usage: bigint, at = process.hrtime.bigint()): bigint | null {
    const known = this.#samples.get(key);
    const distance = known === undefined ? 0n : at - known.latest.at;
    if (known === undefined || usage < known.latest.usage || distance > GREATEST_DISTANCE_NS) {
      this.#samples.set(key, { latest: { at, usage }, rate: null });
      return null;
    }
    if (distance < LEAST_DISTANCE_NS) return known.rate;
    const rate = ((usage - known.latest.usage) * SECOND_NS) / distance;
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
