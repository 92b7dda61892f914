import { nowNs } from '../base/clock.ts';
import { errnoOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { Slots } from '../base/slots.ts';
import type { FilesystemUsage } from '../image/types.ts';
import { diskUsage } from '../os/tree.ts';

/** Walks of writable layers under way at once: each takes one of libuv's few threads from all other file access. */
const WALKS = 2;
/** After a walk of t follows a pause of this many t at least: a layer of a million files must not keep a thread busy. */
const PAUSE_FACTOR = 20;

interface Entry {
  usage: FilesystemUsage | null;
  /** When it may be walked again, in ms of the monotonic clock. */
  staleAt: number;
  known: boolean;
  walk: Promise<void> | undefined;
  asked: number;
}

/**
 * Disk use of writable layers. A layer may hold a million files, so a walk is
 * waited for only where there is no earlier result; later ones run in the
 * background while the last result is given.
 */
export class LayerUsage {
  readonly #options: { mountpoint: string; collectPeriodMs: number };
  readonly #log: Log;
  readonly #entries = new Map<string, Entry>();
  readonly #slots = new Slots(WALKS);

  constructor(options: { mountpoint: string; collectPeriodMs: number }, deps: { log: Log }) {
    this.#options = options;
    this.#log = deps.log;
  }

  /** How many layers are remembered. */
  get size(): number {
    return this.#entries.size;
  }

  /** Use of the directory `upper`; null where it is gone. */
  async of(upper: string): Promise<FilesystemUsage | null> {
    const entry = this.#entries.get(upper) ?? newEntry();
    this.#entries.set(upper, entry);
    entry.asked = performance.now();
    if (entry.asked >= entry.staleAt) entry.walk ??= this.#walk(upper, entry);
    if (!entry.known) await entry.walk;
    return entry.usage;
  }

  /** Sum over all of `uppers`, which are all that there are: others are forgotten. */
  async sum(uppers: string[]): Promise<{ usedBytes: number; inodesUsed: number }> {
    const wanted = new Set(uppers);
    for (const upper of this.#entries.keys()) if (!wanted.has(upper)) this.#entries.delete(upper);
    const all = await Promise.all(uppers.map((upper) => this.of(upper)));
    return {
      usedBytes: all.reduce((total, usage) => total + (usage?.usedBytes ?? 0), 0),
      inodesUsed: all.reduce((total, usage) => total + (usage?.inodesUsed ?? 0), 0),
    };
  }

  /** Forgets layers that nobody has asked for during the last `ms` milliseconds. */
  prune(ms: number): void {
    const oldest = performance.now() - ms;
    for (const [upper, { asked }] of this.#entries) if (asked < oldest) this.#entries.delete(upper);
  }

  async #walk(upper: string, entry: Entry): Promise<void> {
    let duration = 0;
    try {
      entry.usage = await this.#slots.run(async () => {
        const begun = performance.now();
        const { bytes, inodes } = await diskUsage(upper);
        duration = performance.now() - begun;
        const { mountpoint } = this.#options;
        return { timestamp: nowNs(), mountpoint, usedBytes: bytes, inodesUsed: inodes };
      });
    } catch (cause) {
      entry.usage = null;
      if (errnoOf(cause) !== 'ENOENT') this.#log.warn({ upper, err: cause }, 'disk use cannot be read');
    } finally {
      entry.known = true;
      entry.staleAt = performance.now() + Math.max(this.#options.collectPeriodMs, duration * PAUSE_FACTOR);
      entry.walk = undefined;
    }
  }
}

function newEntry(): Entry {
  return { usage: null, staleAt: 0, known: false, walk: undefined, asked: 0 };
}
