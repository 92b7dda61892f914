import { createLog } from '../base/log.ts';
import { configSource, loadConfig } from '../config/load.ts';
import { LiveConfig } from '../config/reload.ts';
import type { Table } from '../config/shape.ts';
import { runDaemon } from '../daemon.ts';

/** What `skiff serve` was told; '' = as configured. */
export interface ServeOptions {
  config: string;
  root: string;
  state: string;
  logLevel: string;
}

/** The daemon in the foreground: resolves after a clean end on SIGTERM or SIGINT; a second one ends it at once. */
export async function serve(options: ServeOptions): Promise<void> {
  const source = configSource(options.config || undefined, overrides(options));
  const config = await loadConfig(source);
  const log = createLog(config.log.level);
  const live = new LiveConfig(
    { config, source },
    {
      log,
      applied: (next) => {
        log.level = next.log.level;
      },
    },
  );
  const end = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => end.abort());
  await runDaemon({ live }, { log, signal: end.signal });
}

function overrides({ root, state, logLevel }: ServeOptions): Table {
  return {
    ...(root === '' ? {} : { root }),
    ...(state === '' ? {} : { state }),
    ...(logLevel === '' ? {} : { log: { level: logLevel } }),
  };
}
