import type { Log } from '../base/log.ts';
import type { ContainerEvent } from './api.ts';

/** Events that a subscriber may be behind before the newest are dropped for it. */
const QUEUE_LENGTH = 4096;

interface Subscriber {
  queue: ContainerEvent[];
  dropped: number;
  /** Wakes the reader that waits for the next event. */
  wake: () => void;
}

/**
 * The hub of container and sandbox events. A subscriber gets all that happen from its subscription on, in
 * order. One that does not read loses events rather than memory of the daemon: the loss is counted and
 * logged, and a kubelet makes up for it with its next relist.
 */
export class Events {
  readonly #options: { queueLength?: number };
  readonly #log: Log;
  readonly #subscribers = new Set<Subscriber>();

  constructor(options: { queueLength?: number }, deps: { log: Log }) {
    this.#options = options;
    this.#log = deps.log;
  }

  /** Subscribers that read now. */
  get subscribers(): number {
    return this.#subscribers.size;
  }

  /** Tells every subscriber; never waits for one. */
  emit(event: ContainerEvent): void {
    for (const subscriber of this.#subscribers) this.#push(subscriber, event);
  }

  /** Events from this call on; ends when `signal` aborts. */
  subscribe(signal: AbortSignal): AsyncIterable<ContainerEvent> {
    const subscriber: Subscriber = { queue: [], dropped: 0, wake: () => {} };
    this.#subscribers.add(subscriber);
    signal.addEventListener('abort', () => this.#leave(subscriber), { once: true });
    if (signal.aborted) this.#leave(subscriber);
    return this.#read(subscriber);
  }

  #push(subscriber: Subscriber, event: ContainerEvent): void {
    if (subscriber.queue.length < (this.#options.queueLength ?? QUEUE_LENGTH)) subscriber.queue.push(event);
    else if (++subscriber.dropped === 1)
      this.#log.warn({}, 'a reader of container events is too slow; dropping');
    subscriber.wake();
  }

  #leave(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber);
    subscriber.wake();
  }

  async *#read(subscriber: Subscriber): AsyncGenerator<ContainerEvent> {
    try {
      while (this.#subscribers.has(subscriber)) {
        const event = subscriber.queue.shift();
        if (event !== undefined) yield event;
        else {
          this.#tellDropped(subscriber);
          await new Promise<void>((resolve) => {
            subscriber.wake = resolve;
          });
        }
      }
    } finally {
      this.#tellDropped(subscriber);
      this.#leave(subscriber);
    }
  }

  /** How many were lost, once the reader has caught up. */
  #tellDropped(subscriber: Subscriber): void {
    if (subscriber.dropped === 0) return;
    this.#log.warn({ dropped: subscriber.dropped }, 'container events were lost to a slow reader');
    subscriber.dropped = 0;
  }
}
