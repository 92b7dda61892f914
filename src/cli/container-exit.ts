import { setTimeout as sleep } from 'node:timers/promises';
import { isCode } from '../base/errors.ts';
import type { CriClient } from '../cri/client.ts';
import type { ContainerStatus } from './cri-types.ts';
import { note } from './output.ts';

/** How often the status is asked for in case an event is lost, and whether the daemon is back. */
const POLL_MS = 1000;

/**
 * The status of a container once it has exited. A container lives on while its
 * daemon is restarted, so this waits for the daemon, too. Rejects when `signal`
 * aborts and when the container is gone.
 */
export async function containerExit(
  cri: CriClient,
  id: string,
  signal: AbortSignal,
): Promise<ContainerStatus> {
  const done = new AbortController();
  const until = AbortSignal.any([signal, done.signal]);
  let away = false;
  try {
    const stopped = nextStop(cri, id, until);
    for (;;) {
      const status = await statusUnlessAway(cri, id, signal);
      if (status?.state === 'CONTAINER_EXITED') return status;
      if (status === undefined && !away) note('skiff: the daemon went away; waiting for it to come back');
      away = status === undefined;
      const poll = sleep(POLL_MS, undefined, { signal: until });
      await (away ? poll : Promise.race([stopped, poll]));
    }
  } finally {
    done.abort();
  }
}

/** Undefined while nobody serves the socket. */
async function statusUnlessAway(
  cri: CriClient,
  id: string,
  signal: AbortSignal,
): Promise<ContainerStatus | undefined> {
  try {
    const { status } = await cri.runtime.ContainerStatus({ container_id: id }, { signal });
    return status ?? undefined;
  } catch (cause) {
    if (isCode(cause, 'unavailable')) return undefined;
    throw cause;
  }
}

/** Resolves when the daemon says that the container stopped. */
async function nextStop(cri: CriClient, id: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const event of cri.runtime.GetContainerEvents({}, { signal })) {
        if (event.container_id === id && event.container_event_type === 'CONTAINER_STOPPED_EVENT') return;
      }
    } catch {
      // The status tells what is wrong; the next daemon has events again.
    }
    await sleep(POLL_MS, undefined, { signal }).catch(() => {});
  }
}
