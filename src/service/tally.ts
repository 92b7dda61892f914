import { stateOf } from '../container/types.ts';
import type { Hall } from './hall.ts';

/** How many there are of what the daemon keeps. */
export interface Tally {
  /** Containers whose shim is connected. */
  shims: number;
  images: number;
  sandboxes: Record<'initialized' | 'ready' | 'notready', number>;
  containers: Record<ReturnType<typeof stateOf>, number>;
}

/** Counts from memory. */
export function tally(hall: Pick<Hall, 'running' | 'images' | 'sandboxes' | 'containers'>): Tally {
  const sandboxes = { initialized: 0, ready: 0, notready: 0 };
  const containers = { created: 0, running: 0, exited: 0, unknown: 0 };
  for (const row of hall.sandboxes.values()) sandboxes[row.state] += 1;
  for (const row of hall.containers.values()) containers[stateOf(row)] += 1;
  return { shims: hall.running.size, images: hall.images.list().length, sandboxes, containers };
}
