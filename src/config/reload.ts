import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { SkiffError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { type ConfigSource, loadConfig } from './load.ts';
import type { Config } from './schema.ts';
import { camel, dotted, ROOT, type Section, type Table } from './shape.ts';

/** What a reload found. Keys are written as in the file. */
export interface ConfigReload {
  /** In force now. */
  applied: string[];
  /** Changed in the files, in force after a restart of the daemon. */
  needRestart: string[];
}

/** Editors write a file in several steps, and a package installs several files. */
const SETTLE_MS = 200;

/**
 * The configuration of a running daemon. `current` always is a valid one: keys
 * that are reloadable follow the files, the others stay as they were at start.
 */
export class LiveConfig {
  readonly #source: ConfigSource;
  readonly #log: Log;
  readonly #applied: (config: Config, keys: string[]) => void;
  #current: Config;
  #watchers: FSWatcher[] = [];
  #settle: NodeJS.Timeout | undefined;
  #running: Promise<unknown> = Promise.resolve();

  /** `applied` is called after `current` has changed, with the keys that did. */
  constructor(
    options: { config: Config; source: ConfigSource },
    deps: { log: Log; applied: (config: Config, keys: string[]) => void },
  ) {
    this.#current = options.config;
    this.#source = options.source;
    this.#log = deps.log;
    this.#applied = deps.applied;
  }

  get current(): Config {
    return this.#current;
  }

  /** Reloads whenever the files change and on SIGHUP, until `stop`. */
  start(): void {
    process.on('SIGHUP', this.#reloadLogged);
    const { file, dropInDir } = this.#source;
    this.#watch(dirname(file), (name) => name === basename(file) || name === basename(dropInDir));
    this.#watch(dropInDir, (name) => name.endsWith('.toml'));
  }

  stop(): void {
    process.off('SIGHUP', this.#reloadLogged);
    clearTimeout(this.#settle);
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
  }

  /** Reads the files again. Invalid ones change nothing and reject with what is wrong. */
  reload(): Promise<ConfigReload> {
    const next = this.#running.then(() => this.#reload());
    this.#running = next.catch(() => {});
    return next;
  }

  async #reload(): Promise<ConfigReload> {
    const wanted = await loadConfig(this.#source).catch((cause: unknown) => {
      throw SkiffError.from(cause, 'reload configuration, the old one stays in force');
    });
    const { next, applied, needRestart } = reconcile(this.#current, wanted);
    this.#current = next;
    if (applied.length > 0) this.#applied(next, applied);
    if (applied.length > 0) this.#log.info({ keys: applied }, 'configuration reloaded');
    if (needRestart.length > 0) {
      this.#log.warn({ keys: needRestart }, 'configuration changed: restart the daemon for these keys');
    }
    return { applied, needRestart };
  }

  readonly #reloadLogged = (): void => {
    this.reload().catch((err: unknown) => this.#log.error({ err }, 'configuration not reloaded'));
  };

  /** A directory that is not there is not watched: SIGHUP and `skiff config reload` remain. */
  #watch(directory: string, wanted: (name: string) => boolean): void {
    try {
      const watcher = watch(directory, { persistent: false }, (_, name) => {
        if (name !== null && !wanted(name)) return;
        clearTimeout(this.#settle);
        this.#settle = setTimeout(this.#reloadLogged, SETTLE_MS).unref();
      });
      watcher.on('error', (err) => this.#log.warn({ err, directory }, 'configuration is no longer watched'));
      this.#watchers.push(watcher);
    } catch (err) {
      this.#log.debug({ err, directory }, 'configuration directory is not watched');
    }
  }
}

/** `running` with the reloadable keys of `wanted`, and which keys differ. */
export function reconcile(running: Config, wanted: Config): ConfigReload & { next: Config } {
  const changes: ConfigReload = { applied: [], needRestart: [] };
  const next = reconcileSection(ROOT, running, wanted, [], changes) as Config;
  return { next, ...changes };
}

function reconcileSection(
  section: Section,
  running: Table,
  wanted: Table,
  path: string[],
  changes: ConfigReload,
): Table {
  const entries = section.keys.map((key) => {
    const name = camel(key.name);
    const here = [...path, key.name];
    const [old, fresh] = [running[name], wanted[name]];
    if (key.shape.kind === 'section') {
      return [name, reconcileSection(key.shape, old as Table, fresh as Table, here, changes)];
    }
    if (isDeepStrictEqual(old, fresh)) return [name, old];
    (key.reloadable ? changes.applied : changes.needRestart).push(dotted(here));
    return [name, key.reloadable ? fresh : old];
  });
  return Object.freeze(Object.fromEntries(entries));
}
