#!/usr/bin/env node
import { CommanderError } from 'commander';
import { messageOf } from './base/errors.ts';
import { program } from './cli/program.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
/** Failures of our own, of commands whose small codes are those of the command in the container. */
const EXIT_OURS = 125;
const PASSES_CODE_ON = ['run', 'exec'];

/** Runs one command line (without node and script); the exit code. */
async function main(argv: string[]): Promise<number> {
  let code = 0;
  let usage = EXIT_USAGE;
  const skiff = program((own) => {
    code = own;
  });
  for (const command of [skiff, ...skiff.commands, ...skiff.commands.flatMap((one) => one.commands)]) {
    command.exitOverride((error) => {
      usage = PASSES_CODE_ON.includes(command.name()) ? EXIT_OURS : EXIT_USAGE;
      throw error;
    });
  }
  try {
    await skiff.parseAsync(argv, { from: 'user' });
    return code;
  } catch (cause) {
    // Commander has said what is wrong; help that was asked for is no error.
    if (cause instanceof CommanderError) return cause.exitCode === 0 ? 0 : usage;
    process.stderr.write(`skiff: ${messageOf(cause)}\n`);
    return EXIT_FAILED;
  }
}

// `skiff ps | head -1` closes the pipe early: nothing is wrong then.
process.stdout.on('error', (cause: NodeJS.ErrnoException) => {
  if (cause.code === 'EPIPE') process.exit(0);
  throw cause;
});

process.exit(await main(process.argv.slice(2)));
