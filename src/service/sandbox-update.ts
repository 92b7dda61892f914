import { isDeepStrictEqual } from 'node:util';
import type { CallContext, PodResources } from './api.ts';
import type { Hall } from './hall.ts';
import { sandboxOf } from './lookup.ts';

/**
 * UpdatePodSandboxResources: keeps what the kubelet tells of the pod's limits. It writes the pod's cgroup
 * itself, so nothing else changes; what is null stays, and what is the same already is not written again.
 */
export async function updatePodSandboxResources(
  hall: Pick<Hall, 'sandboxes'>,
  call: CallContext,
  id: string,
  change: PodResources,
): Promise<void> {
  const row = sandboxOf(hall, id);
  call.signal.throwIfAborted();
  const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== null));
  await hall.sandboxes.update(
    row.id,
    (now) => {
      const config = { ...now.config, ...given };
      return isDeepStrictEqual(config, now.config) ? now : { ...now, config };
    },
    { subject: row.id, what: 'resources updated', detail: given },
  );
}
