import type { PullProgress } from '../image/types.ts';
import { bytes } from './output.ts';

/** The rate is that of the last so many milliseconds: a pull that slows down is seen to. */
const WINDOW_MS = 3000;
const MIN_SPAN_MS = 200;

/** How fast a pull goes as a whole. Layers that were there already count for nothing. */
export class PullPace {
  readonly #layers = new Map<string, { current: number; total: number }>();
  readonly #marks: { at: number; received: number }[] = [];

  /** `now` in ms of any clock. */
  note(event: PullProgress, now: number): void {
    if (event.layer === '' || event.phase === 'exists') this.#layers.delete(event.layer);
    else this.#layers.set(event.layer, { current: event.current, total: event.total });
    this.#marks.push({ at: now, received: this.#sum('current') });
    // One older than the window stays, to measure from.
    while ((this.#marks[1]?.at ?? now) < now - WINDOW_MS) this.#marks.shift();
  }

  /** `12.0 MiB / 226.0 MiB, 53.0 MiB/s, 4 s left`; '' while there is nothing to tell. */
  describe(now: number): string {
    const received = this.#sum('current');
    const total = this.#sum('total');
    if (total === 0) return '';
    const parts = [`${bytes(received)} / ${bytes(total)}`];
    const [first] = this.#marks;
    const span = first === undefined ? 0 : now - first.at;
    const gained = received - (first?.received ?? 0);
    if (span >= MIN_SPAN_MS && gained > 0 && received < total) {
      const rate = gained / span;
      parts.push(`${bytes(rate * 1000)}/s`, `${timeOf((total - received) / rate)} left`);
    }
    return parts.join(', ');
  }

  #sum(what: 'current' | 'total'): number {
    let sum = 0;
    for (const layer of this.#layers.values()) sum += layer[what];
    return sum;
  }
}

function timeOf(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${seconds % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
