import { settleAll } from '../base/settle.ts';
import { removeCgroup } from '../os/cgroup.ts';
import { unmount } from '../os/mount.ts';
import { unpinSandbox } from '../os/namespaces.ts';
import { killProcess } from '../os/process.ts';
import { findPodInit } from '../os/shim.ts';
import { removeTree } from '../os/tree.ts';
import { initCgroup, ownCgroup } from '../sandbox/cgroup-parent.ts';
import { networkRequest } from '../sandbox/network-request.ts';
import type { SandboxRow } from '../sandbox/types.ts';
import type { Hall } from './hall.ts';

/**
 * Gives back all that a sandbox holds of the kernel and of CNI. May be called
 * any number of times, after any crash: what is gone already is fine. When CNI
 * fails the namespace stays, so that the next try finds what it needs.
 * `attached` false: the network is known to hold nothing for it. The pod's
 * cgroup waits for `containersGone`, all else is given back meanwhile.
 */
export async function teardownSandbox(
  hall: Pick<Hall, 'cni' | 'layout' | 'options'>,
  row: SandboxRow,
  { attached = true, containersGone = Promise.resolve<unknown>(undefined) } = {},
): Promise<void> {
  const init = row.init ?? (await findPodInit(hall.layout.initPidFile(row.id)));
  if (init !== undefined) await killProcess(init);
  await settleAll([
    containersGone.then(() => removePodCgroup(hall, row)),
    releaseNamespaces(hall, row, attached),
    unmount(hall.layout.shm(row.id)),
  ]);
  await removeTree(hall.layout.sandboxRun(row.id));
}

async function releaseNamespaces(hall: Pick<Hall, 'cni'>, row: SandboxRow, attached: boolean): Promise<void> {
  if (attached && row.namespaces.net !== null) await hall.cni.del(networkRequest(row), row.network);
  await unpinSandbox(row.namespaces);
}

/** Removes what the pod has of cgroups beside its containers' own: all where it is the pod's alone, else the init's. */
export async function removePodCgroup(hall: Pick<Hall, 'options'>, row: SandboxRow): Promise<void> {
  const { cgroupDriver } = hall.options;
  const cgroup = ownCgroup(cgroupDriver, row) ?? initCgroup(cgroupDriver, row);
  if (cgroup !== null) await removeCgroup(cgroup);
}
