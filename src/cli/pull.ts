import type { PullProgress } from '../image/types.ts';
import type { Daemon } from './daemon.ts';
import { errorOf } from './ops-client.ts';
import { print } from './output.ts';
import { ProgressDisplay } from './pull-progress.ts';

/** `skiff pull IMAGE`: prints the image id. */
export async function pull(daemon: Daemon, image: string, options: { quiet: boolean }): Promise<void> {
  print(await pullImage(daemon, image, options));
}

/** Pulls through ops.sock with progress on stderr; Ctrl-C ends the pull in the daemon, too. */
export async function pullImage(
  daemon: Daemon,
  image: string,
  options: { quiet: boolean; signal?: AbortSignal },
): Promise<string> {
  const display = options.quiet ? undefined : new ProgressDisplay(process.stderr);
  try {
    const lines = daemon.ops().lines('POST', '/images/pull', { image }, options.signal);
    for await (const line of lines as AsyncIterable<{ progress?: PullProgress; id?: string }>) {
      if (line.progress !== undefined) display?.show(line.progress);
      else if (line.id !== undefined) return line.id;
      else throw errorOf(line);
    }
  } finally {
    display?.end();
  }
  throw errorOf({ error: `pull ${image}: the daemon ended before the pull; try again`, code: 'unavailable' });
}
