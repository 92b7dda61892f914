import { mapBounded } from '../base/bounded.ts';
import { nowNs } from '../base/clock.ts';
import { errnoOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { FilesystemUsage } from '../image/types.ts';
import { native } from '../os/native.ts';

/** Walks of writable layers under way at once: they compete with the containers for the disk. */
const WALKS = 4;

interface Entry {
  usage: FilesystemUsage | null;
  /** Of `usage`, in ms of the monotonic clock. */
  at: number;
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
  readonly #waiting: (() => void)[] = [];
  #walks = 0;

  constructor(options: { mountpoint: string; collectPeriodMs: number }, deps: { log: Log }) {
    this.#options = options;
    this.#log = deps.log;
  }

  /** Use of the directory `upper`; null where it is gone. */
  async of(upper: string): Promise<FilesystemUsage | null> {
    const entry = this.#entries.get(upper) ?? newEntry();
    this.#entries.set(upper, entry);
    entry.asked = performance.now();
    const stale = performance.now() - entry.at > this.#options.collectPeriodMs;
    if (stale) entry.walk ??= this.#walk(upper, entry);
    if (entry.at === Number.NEGATIVE_INFINITY) await entry.walk;
    return entry.usage;
  }

  /** Sum over all of `uppers`. */
  async sum(uppers: string[]): Promise<{ usedBytes: number; inodesUsed: number }> {
    const all = await mapBounded(uppers, 64, (upper) => this.of(upper));
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
    await this.#turn();
    try {
      const { bytes, inodes } = await native().diskUsage(upper);
      const { mountpoint } = this.#options;
      entry.usage = { timestamp: nowNs(), mountpoint, usedBytes: bytes, inodesUsed: inodes };
    } catch (cause) {
      entry.usage = null;
      if (errnoOf(cause) !== 'ENOENT') this.#log.warn({ upper, err: cause }, 'disk use cannot be read');
    } finally {
      entry.at = performance.now();
      entry.walk = undefined;
      this.#walks -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #turn(): Promise<void> {
    if (this.#walks >= WALKS) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#walks += 1;
  }
}

function newEntry(): Entry {
  return { usage: null, at: Number.NEGATIVE_INFINITY, walk: undefined, asked: 0 };
}
