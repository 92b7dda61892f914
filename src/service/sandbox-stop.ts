import type { CallContext } from './api.ts';
import { stopContainer } from './container-stop.ts';
import { emitSandbox } from './emit.ts';
import type { Hall } from './hall.ts';
import { containersOf, findSandbox } from './lookup.ts';
import { markNotReady } from './sandbox-notready.ts';
import { teardownSandbox } from './sandbox-teardown.ts';

/**
 * StopPodSandbox: ends the containers at once, gives back network and
 * namespaces; NOTREADY when it resolves. Not there or stopped already is fine.
 * Where CNI fails the error goes to the caller, who tries again.
 */
export async function stopPodSandbox(hall: Hall, call: CallContext, id: string): Promise<void> {
  const row = findSandbox(hall, id);
  if (row === undefined || row.torndown) return;
  await hall.calls.change.join(`stop ${row.id}`, call.signal, (signal) => stop(hall, { signal }, row.id));
}

async function stop(hall: Hall, call: CallContext, id: string): Promise<void> {
  await hall.operations.run('StopPodSandbox', id, async (op) => {
    // NOTREADY first: no container may be made in a sandbox that is going.
    const row = await op.step('write row notready', () => markNotReady(hall, id, 'it is being stopped'));
    const containers = containersOf(hall, id);
    await op.step('wait for starts', () =>
      Promise.all(containers.map((container) => hall.calls.change.settled(`start ${container.id}`))),
    );
    // Taken before the kill: an entry leaves `running` when its container is gone.
    const containersGone = Promise.all(
      containers.map((container) => hall.running.get(container.id)?.gone.catch(() => undefined)),
    );
    await op.step('end containers', () =>
      Promise.all(containers.map((container) => stopContainer(hall, call, container.id, 0))),
    );
    await op.step('tear down', () => teardownSandbox(hall, row, { containersGone }));
    const stopped = await op.step('write row stopped', () =>
      hall.sandboxes.update(id, (now) => ({ ...now, torndown: true, init: null }), {
        subject: id,
        what: 'sandbox stopped',
        detail: { ms: op.timings() },
      }),
    );
    emitSandbox(hall, 'stopped', stopped);
  });
}
