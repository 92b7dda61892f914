import { removeTree } from '../os/tree.ts';
import type { CallContext } from './api.ts';
import { removeContainer } from './container-remove.ts';
import { emitSandbox } from './emit.ts';
import type { Hall } from './hall.ts';
import { containersOf, findSandbox } from './lookup.ts';
import { stopPodSandbox } from './sandbox-stop.ts';

/** RemovePodSandbox: stops it, removes its containers, forgets it. Not there is fine. */
export async function removePodSandbox(hall: Hall, call: CallContext, id: string): Promise<void> {
  const row = findSandbox(hall, id);
  if (row === undefined) return;
  await hall.calls.change.join(`remove ${row.id}`, call.signal, (signal) => remove(hall, { signal }, row.id));
}

async function remove(hall: Hall, call: CallContext, id: string): Promise<void> {
  await stopPodSandbox(hall, call, id);
  await hall.operations.run('RemovePodSandbox', id, async (op) => {
    await op.step('remove containers', () =>
      Promise.all(containersOf(hall, id).map((container) => removeContainer(hall, call, container.id))),
    );
    const row = hall.sandboxes.get(id);
    if (row === undefined) return;
    await op.step('remove files', () => removeTree(hall.layout.sandbox(id)));
    await op.step('delete row', () => hall.sandboxes.delete(id, { subject: id, what: 'sandbox removed' }));
    emitSandbox(hall, 'deleted', row);
  });
}
