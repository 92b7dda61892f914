import { join } from 'node:path';
import { SkiffError } from '../base/errors.ts';
import { namesIn } from '../base/files.ts';
import { type ContainerRow, stateOf } from '../container/types.ts';
import { isNamespace } from '../os/cni/attachment.ts';
import { unmount } from '../os/mount.ts';
import { unpinSandbox } from '../os/namespaces.ts';
import { isAlive } from '../os/process.ts';
import { connectShim } from '../os/shim.ts';
import { removeTree } from '../os/tree.ts';
import { networkRequest } from '../sandbox/network-request.ts';
import type { SandboxRow } from '../sandbox/types.ts';
import { releaseContainer } from './container-remove.ts';
import { markRunning } from './container-start.ts';
import type { Hall } from './hall.ts';
import { markNotReady, watchInit } from './sandbox-notready.ts';
import { teardownSandbox } from './sandbox-teardown.ts';

/**
 * Finds everything again after the daemon or the machine went down at any
 * instant. Rows say what was meant; whether it is there is asked of the kernel:
 * a shim that answers, a namespace file, an exit record.
 */
export async function recover(hall: Hall): Promise<void> {
  const told = (what: string, id: string) => (cause: unknown) =>
    hall.log.error({ id, err: cause }, `${what} was not recovered; it can still be removed`);
  await Promise.all(
    hall.containers.values().map((row) => recoverContainer(hall, row).catch(told('a container', row.id))),
  );
  await Promise.all(
    hall.sandboxes.values().map((row) => recoverSandbox(hall, row).catch(told('a sandbox', row.id))),
  );
  await sweepContainers(hall).catch(told('what a half-made container left', ''));
  await sweepSandboxes(hall).catch(told('what a half-made sandbox left', ''));
  await hall.images.recover();
  collectNetworks(hall);
}

/** Tells the CNI plugins which attachments are still wanted (GC, CNI 1.1.0); nothing waits for it. */
function collectNetworks(hall: Hall): void {
  const valid = hall.sandboxes
    .values()
    .filter((row) => row.namespaces.net !== null && !row.torndown)
    .map((row) => ({ containerID: row.id, ifname: networkRequest(row).ifName }));
  hall.cni.gc(valid).catch((err) => hall.log.warn({ err }, 'CNI garbage collection failed'));
}

async function recoverContainer(hall: Hall, row: ContainerRow): Promise<void> {
  if (stateOf(row) === 'exited') return hall.running.forget(row);
  await hall.exec.sweep(row.id);
  const shim = await connectShim(hall.layout.containerRun(row.id)).catch(() => undefined);
  if (shim !== undefined) {
    // Also a container whose start was not written any more: its shim knows better than its row.
    hall.running.watch(await markRunning(hall, row.id, shim), shim);
    return;
  }
  if (stateOf(row) === 'running' || (await startedUnseen(hall, row))) await hall.running.recordLost(row);
}

/** A container that ended before its start was written has an exit record all the same. */
async function startedUnseen(hall: Hall, row: ContainerRow): Promise<boolean> {
  return (await namesIn(hall.layout.container(row.id))).includes('exit');
}

async function recoverSandbox(hall: Hall, row: SandboxRow): Promise<void> {
  if (row.state === 'initialized') return undoSandbox(hall, row);
  if (row.state !== 'ready') return;
  if (await isWhole(row, hall.bootId)) return watchInit(hall, row);
  const restarted = row.bootId !== hall.bootId;
  await markNotReady(
    hall,
    row.id,
    restarted ? 'the node was restarted' : 'its namespaces or its init are gone',
  );
}

/** RunPodSandbox had not ended: nobody knows this sandbox, so all of it goes. */
async function undoSandbox(hall: Hall, row: SandboxRow): Promise<void> {
  try {
    await teardownSandbox(hall, row);
    await removeTree(hall.layout.sandbox(row.id));
    await hall.sandboxes.delete(row.id, { subject: row.id, what: 'sandbox undone' });
  } catch (cause) {
    hall.log.error(
      { id: row.id, err: cause },
      'a half-made sandbox could not be undone; it stays for the kubelet to remove',
    );
    await markNotReady(hall, row.id, SkiffError.from(cause).message);
  }
}

async function isWhole(row: SandboxRow, bootId: string): Promise<boolean> {
  if (row.bootId !== bootId) return false;
  if (row.init !== null && !(await isAlive(row.init))) return false;
  const { net, ipc, uts } = row.namespaces;
  const pinned = await Promise.all([net, ipc, uts].map((path) => path === null || isNamespace(path)));
  return pinned.every(Boolean);
}

/** Directories of containers without a row: CreateContainer had not ended, or RemoveContainer nearly had. */
async function sweepContainers(hall: Hall): Promise<void> {
  const found = [...(await namesIn(hall.layout.containers)), ...(await namesIn(hall.layout.containerRuns))];
  for (const id of new Set(found))
    if (hall.containers.get(id) === undefined) await releaseContainer(hall, id);
}

/** The same for sandboxes, whose namespaces may have been pinned before the row was written. */
async function sweepSandboxes(hall: Hall): Promise<void> {
  const { layout } = hall;
  for (const id of new Set([...(await namesIn(layout.sandboxes)), ...(await namesIn(layout.sandboxRuns))])) {
    if (hall.sandboxes.get(id) !== undefined) continue;
    const run = layout.sandboxRun(id);
    await unpinSandbox({ net: layout.netns(id), ipc: join(run, 'ipc'), uts: join(run, 'uts') });
    await unmount(layout.shm(id));
    await removeTree(run);
    await removeTree(layout.sandbox(id));
  }
}
