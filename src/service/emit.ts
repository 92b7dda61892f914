import { nowNs } from '../base/clock.ts';
import type { ContainerRow } from '../container/types.ts';
import type { SandboxRow } from '../sandbox/types.ts';
import type { ContainerEvent } from './api.ts';
import type { Hall } from './hall.ts';
import { containersOf, viewOf } from './lookup.ts';

type Emitter = Pick<Hall, 'events' | 'containers' | 'sandboxes'>;

/** Tells the event streams of a sandbox's change; its container id is the sandbox's own, as the peers send it. */
export function emitSandbox(hall: Emitter, type: ContainerEvent['type'], sandbox: SandboxRow): void {
  emit(hall, type, sandbox.id, sandbox);
}

/**
 * Tells the event streams of a container's change. The kubelet drops an event
 * without its sandbox, so a container whose sandbox is gone has none.
 */
export function emitContainer(hall: Emitter, type: ContainerEvent['type'], row: ContainerRow): void {
  const sandbox = hall.sandboxes.get(row.sandboxId);
  if (sandbox !== undefined) emit(hall, type, row.id, sandbox);
}

function emit(hall: Emitter, type: ContainerEvent['type'], containerId: string, sandbox: SandboxRow): void {
  hall.events.emit({
    containerId,
    type,
    createdAt: nowNs(),
    sandbox,
    containers: containersOf(hall, sandbox.id).map(viewOf),
  });
}
