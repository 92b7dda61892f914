import { SkiffError } from '../base/errors.ts';
import { within } from '../base/wait.ts';
import { signalNumber } from '../container/stop-signal.ts';
import type { ContainerRow } from '../container/types.ts';
import { describeProcess } from '../os/process.ts';
import type { CallContext } from './api.ts';
import type { Hall } from './hall.ts';
import { findContainer } from './lookup.ts';
import type { RunningContainer } from './running.ts';

const SIGKILL = 9;

type Stopper = Pick<Hall, 'calls' | 'containers' | 'running' | 'options'>;

/**
 * StopContainer: the stop signal, `timeout` seconds of grace, then SIGKILL;
 * resolves when the end has been seen. Not there or not running is fine. A
 * second call with a shorter timeout kills at its own.
 */
export async function stopContainer(
  hall: Stopper,
  call: CallContext,
  id: string,
  timeout: number,
): Promise<void> {
  const row = findContainer(hall, id);
  if (row === undefined) return;
  // A start under way ends first, else what it makes would run on.
  await hall.calls.change.settled(`start ${row.id}`);
  const entry = hall.running.get(row.id);
  if (entry === undefined) return;
  if (timeout > 0 && (await endsInGrace(entry, row, timeout, call.signal))) return;
  await kill(entry, row, hall.options.killTimeoutMs, call.signal);
}

/** Kills a container at once and waits until its cgroup is gone too. */
export async function endContainer(hall: Stopper, call: CallContext, id: string): Promise<void> {
  await stopContainer(hall, call, id, 0);
  await hall.running.get(id)?.gone.catch(() => undefined);
}

async function endsInGrace(
  entry: RunningContainer,
  row: ContainerRow,
  seconds: number,
  signal: AbortSignal,
): Promise<boolean> {
  if (!entry.stopSent) {
    entry.stopSent = true;
    await send(entry, signalNumber(row.stopSignal), false);
  }
  return within(entry.ended, seconds * 1000, signal);
}

async function kill(
  entry: RunningContainer,
  row: ContainerRow,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  await send(entry, SIGKILL, true);
  if (await within(entry.ended, timeoutMs, signal)) return;
  // Longer means that it hangs in the kernel, such as on a dead NFS server.
  const where = row.pid === null ? '' : await describeProcess(row.pid);
  throw new SkiffError(
    'deadline_exceeded',
    `stop container ${row.id}: it was killed but has not ended after ${timeoutMs / 1000} s; ${where}`,
  );
}

/** A shim that has gone meanwhile tells through `ended`; its socket's error is not the caller's. */
async function send(entry: RunningContainer, signal: number, all: boolean): Promise<void> {
  await entry.shim.kill(signal, all).catch((cause) => {
    if (SkiffError.from(cause).code !== 'unavailable') throw cause;
  });
}
