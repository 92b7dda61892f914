import { setTimeout as sleep } from 'node:timers/promises';
import type { CriClient } from '../cri/client.ts';
import type { ContainerStatus } from './cri-types.ts';

/** How often the status is asked for in case an event is lost. */
const POLL_MS = 1000;

/** The status of a container once it has exited; rejects when `signal` aborts. */
export async function containerExit(
  cri: CriClient,
  id: string,
  signal: AbortSignal,
): Promise<ContainerStatus> {
  const done = new AbortController();
  const until = AbortSignal.any([signal, done.signal]);
  try {
    const stopped = nextStop(cri, id, until);
    for (;;) {
      const { status } = await cri.runtime.ContainerStatus({ container_id: id }, { signal });
      if (status?.state === 'CONTAINER_EXITED') return status;
      const poll = sleep(POLL_MS, undefined, { signal: until });
      await Promise.race([stopped, poll]);
    }
  } finally {
    done.abort();
  }
}

/** Resolves when the daemon says that the container stopped, never where it does not speak of events. */
async function nextStop(cri: CriClient, id: string, signal: AbortSignal): Promise<void> {
  try {
    for await (const event of cri.runtime.GetContainerEvents({}, { signal })) {
      if (event.container_id === id && event.container_event_type === 'CONTAINER_STOPPED_EVENT') return;
    }
  } catch {
    // The poll goes on.
  }
  await new Promise(() => {});
}
