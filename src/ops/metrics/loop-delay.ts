import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Sample } from './exposition.ts';

/** Milliseconds between two looks at the loop: a block shorter than this may go unseen. */
const RESOLUTION_MS = 50;
const NS = 1e9;
const QUANTILES = [0.5, 0.9, 0.99, 1];

/** How late the event loop runs its timers, in seconds. */
export class LoopDelay {
  readonly #window = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  #sum = 0;
  #count = 0;

  constructor() {
    this.#window.enable();
  }

  stop(): void {
    this.#window.disable();
  }

  /**
   * The samples of a family of type summary: quantiles of what came since the last time that this was asked
   * (1 is the longest delay, NaN is none seen), sum and count since the start.
   */
  samples(): Sample[] {
    const { count, mean } = this.#window;
    if (count > 0) {
      this.#count += count;
      this.#sum += count * late(mean);
    }
    const quantiles = QUANTILES.map((quantile): Sample => {
      const value = count > 0 ? late(this.#window.percentile(quantile * 100)) : Number.NaN;
      return { labels: { quantile: String(quantile) }, value };
    });
    this.#window.reset();
    return [...quantiles, { suffix: '_sum', value: this.#sum }, { suffix: '_count', value: this.#count }];
  }
}

/** The monitor records the whole time between two of its timers, in nanoseconds. */
function late(interval: number): number {
  return Math.max(0, interval / NS - RESOLUTION_MS / 1000);
}
