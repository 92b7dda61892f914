import { SkiffError } from '../base/errors.ts';
import type { CriClient } from '../cri/client.ts';
import type { Daemon } from './daemon.ts';
import { findTarget, type Inventory, inventory, podName, type Target } from './names.ts';
import { print } from './output.ts';
import { removePod, removeRunLog } from './run-pod.ts';

/** `skiff stop NAME...`: containers, or pods with all their containers. */
export async function stop(daemon: Daemon, names: string[], options: { timeout: number }): Promise<void> {
  await daemon.withCri(async (cri) => {
    const all = await inventory(cri);
    for (const name of names) {
      const target = findTarget(all, name);
      for (const id of runningIn(all, target)) {
        await cri.runtime.StopContainer({ container_id: id, timeout: options.timeout });
      }
      if (target.kind === 'pod') await cri.runtime.StopPodSandbox({ pod_sandbox_id: target.pod.id });
      print(name);
    }
  });
}

/** `skiff rm NAME...`: what runs is only removed with -f. */
export async function remove(daemon: Daemon, names: string[], options: { force: boolean }): Promise<void> {
  await daemon.withCri(async (cri) => {
    const all = await inventory(cri);
    for (const name of names) {
      const target = findTarget(all, name);
      if (!options.force && runningIn(all, target).length > 0) {
        throw new SkiffError(
          'failed_precondition',
          `${describe(target)} is running; stop it first ("skiff stop ${name}") or use "skiff rm -f ${name}"`,
        );
      }
      await removeTarget(daemon, cri, target);
      print(name);
    }
  });
}

async function removeTarget(daemon: Daemon, cri: CriClient, target: Target): Promise<void> {
  if (target.kind === 'container') {
    await cri.runtime.RemoveContainer({ container_id: target.container.id });
    return;
  }
  await removePod(cri, target.pod.id);
  await removeRunLog(daemon, target.pod);
}

function runningIn(all: Inventory, target: Target): string[] {
  const containers =
    target.kind === 'container'
      ? [target.container]
      : all.containers.filter(({ pod_sandbox_id }) => pod_sandbox_id === target.pod.id);
  return containers.filter(({ state }) => state === 'CONTAINER_RUNNING').map(({ id }) => id);
}

function describe(target: Target): string {
  return target.kind === 'pod'
    ? `pod ${podName(target.pod)}`
    : `container ${target.container.metadata?.name}`;
}
