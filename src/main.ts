#!/usr/bin/env node
import { CommanderError } from 'commander';
import { messageOf } from './base/errors.ts';
import { program, type ServeOptions } from './cli/program.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_OURS = 125;

/** Runs one command line (without node and script); the exit code. */
async function main(argv: string[]): Promise<number> {
  let code = 0;
  const skiff = program({ serve, exitWith: (own) => (code = own) });
  for (const command of [skiff, ...skiff.commands, ...skiff.commands.flatMap((one) => one.commands)]) {
    command.exitOverride();
  }
  try {
    await skiff.parseAsync(argv, { from: 'user' });
    return code;
  } catch (cause) {
    // Commander has said what is wrong; help that was asked for is no error.
    if (cause instanceof CommanderError) return cause.exitCode === 0 ? 0 : usageCode(argv);
    process.stderr.write(`skiff: ${messageOf(cause)}\n`);
    return EXIT_FAILED;
  }
}

/** `run` and `exec` keep their small codes for the command in the container. */
function usageCode(argv: string[]): number {
  const command = argv.find((word) => !word.startsWith('-'));
  return command === 'run' || command === 'exec' ? EXIT_OURS : EXIT_USAGE;
}

/** The daemon in the foreground: resolves after a clean end on SIGTERM or SIGINT; a second one ends it at once. */
async function serve(options: ServeOptions): Promise<void> {
  const [{ configSource, loadConfig }, { LiveConfig }, { createLog }, { runDaemon }] = await Promise.all([
    import('./config/load.ts'),
    import('./config/reload.ts'),
    import('./base/log.ts'),
    import('./daemon.ts'),
  ]);
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

function overrides({ root, state, logLevel }: ServeOptions): Record<string, unknown> {
  return {
    ...(root === '' ? {} : { root }),
    ...(state === '' ? {} : { state }),
    ...(logLevel === '' ? {} : { log: { level: logLevel } }),
  };
}

// `skiff ps | head -1` closes the pipe early: nothing is wrong then.
process.stdout.on('error', (cause: NodeJS.ErrnoException) => {
  if (cause.code === 'EPIPE') process.exit(0);
  throw cause;
});

process.exit(await main(process.argv.slice(2)));
