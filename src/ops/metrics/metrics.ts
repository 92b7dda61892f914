import { SkiffError } from '../../base/errors.ts';
import type { ImageApi } from '../../service/api.ts';
import type { Tally } from '../../service/tally.ts';
import type { OperationView } from '../api.ts';
import { exposition, type Family } from './exposition.ts';
import { Histogram } from './histogram.ts';
import { LoopDelay } from './loop-delay.ts';
import { processFamilies } from './process.ts';

/** Seconds: from a list out of memory to a stop that uses up its grace period. */
const CALL_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const PULL_BOUNDS = [0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

export interface MetricsDeps {
  /** What is there now. */
  tally: () => Tally;
  operations: () => OperationView[];
}

/**
 * What the daemon tells Prometheus. Counters begin with the process; what is there now is read when it is
 * asked for.
 */
export class Metrics {
  readonly #version: string;
  readonly #deps: MetricsDeps;
  readonly #loop = new LoopDelay();
  readonly #calls = new Counter();
  readonly #callTimes = new Map<string, Histogram>();
  readonly #pulls = new Counter();
  readonly #pullTime = new Histogram(PULL_BOUNDS);
  #pulling = 0;

  constructor(options: { version: string }, deps: MetricsDeps) {
    this.#version = options.version;
    this.#deps = deps;
  }

  close(): void {
    this.#loop.stop();
  }

  /** Counts one call of CRI that has ended. */
  call({ method, code, ms }: { method: string; code: string; ms: number }): void {
    this.#calls.add({ method, code });
    const times = this.#callTimes.get(method) ?? new Histogram(CALL_BOUNDS);
    this.#callTimes.set(method, times);
    times.observe(ms / 1000);
  }

  /** The image service with its pulls counted, whoever asks for them. */
  countPulls(images: ImageApi): ImageApi {
    return {
      ...images,
      pullImage: async (...args) => {
        const began = performance.now();
        this.#pulling += 1;
        let code = 'ok';
        try {
          return await images.pullImage(...args);
        } catch (cause) {
          code = SkiffError.from(cause).code;
          throw cause;
        } finally {
          this.#pulling -= 1;
          this.#pulls.add({ code });
          this.#pullTime.observe((performance.now() - began) / 1000);
        }
      },
    };
  }

  /** All of it in the text format that Prometheus scrapes. */
  text(): string {
    return exposition([...this.#calling(), ...this.#state(), ...this.#process()]);
  }

  #calling(): Family[] {
    return [
      counter('skiff_cri_calls_total', 'Calls of CRI that have ended.', this.#calls.samples()),
      {
        name: 'skiff_cri_call_duration_seconds',
        help: 'How long calls of CRI took, whatever came of them.',
        type: 'histogram',
        samples: [...this.#callTimes].flatMap(([method, times]) => times.samples({ method })),
      },
      counter('skiff_image_pulls_total', 'Pulls of images that have ended.', this.#pulls.samples()),
      {
        name: 'skiff_image_pull_duration_seconds',
        help: 'How long pulls of images took, whatever came of them.',
        type: 'histogram',
        samples: this.#pullTime.samples(),
      },
      gauge('skiff_image_pulls_running', 'Pulls of images under way.', [{ value: this.#pulling }]),
    ];
  }

  #state(): Family[] {
    const { shims, images, sandboxes, containers } = this.#deps.tally();
    const operations = this.#deps.operations();
    const running = Object.entries(Object.groupBy(operations, (op) => op.name));
    const oldest = Math.max(0, ...operations.map((op) => op.ageMs)) / 1000;
    return [
      gauge('skiff_shims_running', 'Containers whose shim is connected.', [{ value: shims }]),
      gauge('skiff_sandboxes', 'Pod sandboxes by state.', byState(sandboxes)),
      gauge('skiff_containers', 'Containers by state.', byState(containers)),
      gauge('skiff_images', 'Images on disk.', [{ value: images }]),
      gauge(
        'skiff_operations_running',
        'Operations under way, by name.',
        running.map(([operation, ops]) => ({ labels: { operation }, value: ops?.length ?? 0 })),
      ),
      gauge('skiff_operation_oldest_seconds', 'Age of the operation that has run for longest, 0 = none.', [
        { value: oldest },
      ]),
    ];
  }

  #process(): Family[] {
    return [
      {
        name: 'skiff_event_loop_delay_seconds',
        help: 'How late the event loop ran its timers; quantiles since the last scrape.',
        type: 'summary',
        samples: this.#loop.samples(),
      },
      gauge('skiff_build_info', 'Always 1; the labels tell which build this is.', [
        { labels: { version: this.#version, node: process.version }, value: 1 },
      ]),
      ...processFamilies(),
    ];
  }
}

/** Counts by labels. */
class Counter {
  readonly #values = new Map<string, { labels: Record<string, string>; value: number }>();

  add(labels: Record<string, string>): void {
    const key = JSON.stringify(labels);
    const entry = this.#values.get(key) ?? { labels, value: 0 };
    entry.value += 1;
    this.#values.set(key, entry);
  }

  samples(): Family['samples'] {
    return [...this.#values.values()];
  }
}

function counter(name: string, help: string, samples: Family['samples']): Family {
  return { name, help, type: 'counter', samples };
}

function gauge(name: string, help: string, samples: Family['samples']): Family {
  return { name, help, type: 'gauge', samples };
}

function byState(counts: Record<string, number>): Family['samples'] {
  return Object.entries(counts).map(([state, value]) => ({ labels: { state }, value }));
}
