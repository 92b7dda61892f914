import type { ContainerRow } from '../container/types.ts';
import { unmountRootfs } from '../os/overlay.ts';
import { removeTree } from '../os/tree.ts';
import type { CallContext } from './api.ts';
import { endContainer } from './container-stop.ts';
import { emitContainer } from './emit.ts';
import type { Hall } from './hall.ts';
import { findContainer } from './lookup.ts';

/**
 * RemoveContainer: ends it if it runs, removes its writable layer and its
 * state, never its log (that is the kubelet's). Not there is fine.
 */
export async function removeContainer(hall: Hall, call: CallContext, id: string): Promise<void> {
  const row = findContainer(hall, id);
  if (row === undefined) return;
  await hall.calls.change.join(`remove ${row.id}`, call.signal, (signal) => remove(hall, { signal }, row));
}

async function remove(hall: Hall, call: CallContext, row: ContainerRow): Promise<void> {
  await hall.operations.run('RemoveContainer', row.id, async (op) => {
    await op.step('end', () => endContainer(hall, call, row.id));
    await op.step('forget', () => hall.running.forget(row));
    await op.step('unmount', () => releaseContainer(hall, row.id));
    await op.step('delete row', () =>
      hall.containers.delete(row.id, { subject: row.id, what: 'container removed' }),
    );
    emitContainer(hall, 'deleted', row);
  });
  await hall.images.collect();
}

/** Unmounts a container's root file system and removes its directories; what is gone already is fine. */
export async function releaseContainer(hall: Pick<Hall, 'layout'>, id: string): Promise<void> {
  await unmountRootfs(hall.layout.rootfs(id).merged);
  await removeTree(hall.layout.containerRun(id));
  await removeTree(hall.layout.container(id));
}
