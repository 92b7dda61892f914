import { copyStream } from '../base/copy-stream.ts';
import { SkiffError } from '../base/errors.ts';
import { within } from '../base/wait.ts';
import { type ContainerRow, stateOf } from '../container/types.ts';
import type { Shim } from '../os/shim.ts';
import type { Hall } from './hall.ts';
import type { AttachSession, RemoteStreams } from './streaming.ts';

/** How long the row of a container that has ended may take to say so. */
const END_TOLD_MS = 1000;

/**
 * Attach: the client's streams beside the container's own log. A client whose
 * input ends closes that of a `stdin_once` container, and stays for the output;
 * from any other container, and from a terminal, it has let go then.
 */
export async function attach(
  hall: Hall,
  row: ContainerRow,
  session: AttachSession,
  streams: RemoteStreams,
): Promise<void> {
  const shim = hall.running.get(row.id)?.shim;
  if (shim === undefined)
    throw new SkiffError('failed_precondition', `attach to container ${row.id}: it has just ended`);
  const { tty, stdin, stdinOnce } = row.config;
  const wanted = {
    stdin: session.stdin && stdin,
    stdout: session.stdout,
    stderr: session.stderr && !tty,
  };
  if (!wanted.stdin && !wanted.stdout && !wanted.stderr)
    throw new SkiffError(
      'failed_precondition',
      `attach to container ${row.id}: it was created without ${tty ? 'stdin; its terminal has no stderr' : 'stdin'}`,
    );
  const attachment = await shim.attach(wanted);
  let letGo = false;
  const detach = () => {
    letGo = true;
    attachment.close();
  };
  streams.gone.addEventListener('abort', detach, { once: true });
  if (streams.gone.aborted) detach();
  void followSizes(shim, streams);
  if (streams.stdin && attachment.stdin) {
    const stays = stdinOnce && !tty;
    void copyStream(streams.stdin, attachment.stdin).then(() => stays || detach());
  } else streams.stdin?.resume();
  const copies: Promise<void>[] = [];
  if (attachment.stdout && streams.stdout) copies.push(copyStream(attachment.stdout, streams.stdout));
  if (attachment.stderr && streams.stderr) copies.push(copyStream(attachment.stderr, streams.stderr));
  await attachment.closed;
  await Promise.all(copies);
  streams.gone.removeEventListener('abort', detach);
  if (letGo || (await hasEnded(hall, row.id))) return;
  throw new SkiffError(
    'resource_exhausted',
    `attach to container ${row.id}: the client read too slowly and was dropped, because the container never waits for one`,
  );
}

async function followSizes(shim: Shim, streams: RemoteStreams): Promise<void> {
  // A container without a terminal has no size.
  for await (const { width, height } of streams.sizes)
    await shim.resize(width, height).catch(() => undefined);
}

/** The shim tells its clients one after the other that the container has ended. */
async function hasEnded(hall: Hall, id: string): Promise<boolean> {
  const entry = hall.running.get(id);
  if (entry === undefined) return true;
  await within(entry.ended, END_TOLD_MS, new AbortController().signal);
  const row = hall.containers.get(id);
  return row === undefined || stateOf(row) !== 'running';
}
