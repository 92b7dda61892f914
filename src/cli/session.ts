import type { Readable, Writable } from 'node:stream';
import type { ClientCommand } from '../streaming/client.ts';
import type { Outcome } from '../streaming/status.ts';

/** What a container's terminal takes until the caller's says its size. */
const NO_TERMINAL = { columns: 80, rows: 24 };

/**
 * Joins the caller's own streams to a command in a container until it ends. With
 * a terminal the caller's is raw meanwhile: every key goes to the command.
 */
export async function runSession(command: ClientCommand, options: { tty: boolean }): Promise<Outcome> {
  const { stdin, stdout } = process;
  const raw = options.tty && command.stdin !== null && stdin.isTTY;
  const resize = () => {
    const { columns, rows } = stdout.isTTY ? stdout : NO_TERMINAL;
    command.resize({ width: columns, height: rows });
  };
  if (options.tty) resize();
  stdout.on('resize', resize);
  if (raw) stdin.setRawMode(true);
  try {
    if (command.stdin !== null) stdin.pipe(command.stdin);
    await Promise.all([show(command.stdout, stdout), show(command.stderr, process.stderr)]);
    return await command.outcome;
  } finally {
    if (raw) stdin.setRawMode(false);
    stdout.off('resize', resize);
    stdin.unpipe();
    // A stdin that is still read would keep this process.
    stdin.pause();
    stdin.unref?.();
    await command.close();
  }
}

async function show(from: Readable | null, to: Writable): Promise<void> {
  if (from === null) return;
  for await (const bytes of from)
    if (!to.write(bytes)) await new Promise((resolve) => to.once('drain', resolve));
}
