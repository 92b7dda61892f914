import { type FSWatcher, watch } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Log } from '../../base/log.ts';

export interface DirectoryWatchOptions {
  directory: string;
  /** Quiet time after a change before it is told, so that a burst of writes is told once. */
  debounceMs?: number;
  /** Interval of the look that finds what inotify did not tell. */
  pollMs?: number;
}

/**
 * Tells of changes in a directory, also while it does not exist, after it was
 * removed and when it is there again. inotify watches an inode, so the watch
 * is on the directory or, while there is none, on its nearest parent; a look
 * at names, sizes and times every few seconds finds what that missed.
 */
export class DirectoryWatch {
  readonly #directory: string;
  readonly #debounceMs: number;
  readonly #pollMs: number;
  readonly #changed: () => void;
  readonly #log: Log;
  #watcher: { watcher: FSWatcher; path: string; ino: number } | undefined;
  #debounce: NodeJS.Timeout | undefined;
  #poll: NodeJS.Timeout | undefined;
  #fingerprint: string | undefined;
  #stopped = false;

  constructor(options: DirectoryWatchOptions, deps: { changed: () => void; log: Log }) {
    this.#directory = options.directory;
    this.#debounceMs = options.debounceMs ?? 100;
    this.#pollMs = options.pollMs ?? 5000;
    this.#changed = deps.changed;
    this.#log = deps.log;
  }

  async start(): Promise<void> {
    this.#fingerprint = await fingerprint(this.#directory);
    await this.#aim();
    this.#schedulePoll();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#debounce);
    clearTimeout(this.#poll);
    this.#watcher?.watcher.close();
    this.#watcher = undefined;
  }

  /** Puts the watch on the directory, or on the nearest of its parents that exists. */
  async #aim(): Promise<void> {
    const { path, ino } = await nearest(this.#directory);
    if (this.#stopped || (this.#watcher?.path === path && this.#watcher.ino === ino)) return;
    this.#watcher?.watcher.close();
    this.#watcher = undefined;
    try {
      const next = nextName(path, this.#directory);
      const watcher = watch(path, { persistent: false }, (_event, name) => {
        if (next === undefined || name === null || name === next || name === basename(path)) this.#soon();
      });
      watcher.on('error', () => this.#soon());
      this.#watcher = { watcher, path, ino };
    } catch (cause) {
      // Out of inotify watches, or removed this instant: the poll goes on.
      this.#log.warn({ path, err: cause }, 'cannot watch CNI configuration, polling it');
    }
  }

  #soon(): void {
    clearTimeout(this.#debounce);
    if (this.#stopped) return;
    this.#debounce = setTimeout(() => void this.#look(true), this.#debounceMs);
  }

  #schedulePoll(): void {
    this.#poll = setTimeout(async () => {
      await this.#look(false);
      if (!this.#stopped) this.#schedulePoll();
    }, this.#pollMs).unref();
  }

  /** `told`: inotify said so. A write may keep size and time, so then the fingerprint is not asked. */
  async #look(told: boolean): Promise<void> {
    await this.#aim();
    const now = await fingerprint(this.#directory);
    const differs = now !== this.#fingerprint;
    this.#fingerprint = now;
    if (!this.#stopped && (differs || told)) this.#changed();
  }
}

/** Names, sizes, inodes and times of the files in `directory` and one level below, as one string; '' = no directory. */
async function fingerprint(directory: string, depth = 1): Promise<string> {
  const lines: string[] = [];
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(directory, entry.name);
    const facts = await stat(path, { bigint: true }).catch(() => undefined);
    lines.push(`${entry.name} ${facts?.ino} ${facts?.size} ${facts?.mtimeNs}`);
    if (entry.isDirectory() && depth > 0) lines.push(await fingerprint(path, depth - 1));
  }
  return lines.join('\n');
}

async function nearest(directory: string): Promise<{ path: string; ino: number }> {
  for (let path = directory; ; path = dirname(path)) {
    const facts = await stat(path).catch(() => undefined);
    if (facts?.isDirectory() || path === dirname(path)) return { path, ino: facts?.ino ?? 0 };
  }
}

/** The name below `parent` that leads to `directory`; undefined where they are the same. */
function nextName(parent: string, directory: string): string | undefined {
  if (parent === directory) return undefined;
  return directory.slice(parent === '/' ? 1 : parent.length + 1).split('/')[0];
}
