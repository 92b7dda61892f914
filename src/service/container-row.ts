import { nowNs } from '../base/clock.ts';
import { SkiffError } from '../base/errors.ts';
import { logPath } from '../container/log-path.ts';
import { stopSignalOf } from '../container/stop-signal.ts';
import type { ContainerConfig, ContainerRow } from '../container/types.ts';
import type { ImageRow } from '../image/types.ts';
import { absoluteCgroup } from '../os/cgroup.ts';
import type { SandboxRow } from '../sandbox/types.ts';
import type { Hall } from './hall.ts';
import { containersOf } from './lookup.ts';

/** The row of a container about to be made: everything but its user, which needs the root file system. */
export function newContainerRow(
  hall: Pick<Hall, 'layout' | 'options'>,
  made: { id: string; sandbox: SandboxRow; config: ContainerConfig; image: ImageRow; lowers: string[] },
): ContainerRow {
  const { id, sandbox, config, image, lowers } = made;
  const { name, namespace, uid } = sandbox.config.metadata;
  return {
    id,
    sandboxId: sandbox.id,
    config,
    pod: { name, namespace, uid },
    imageId: image.id,
    imageRef: image.id,
    runtimeHandler: sandbox.runtimeHandler,
    createdAt: nowNs(),
    startedAt: null,
    finishedAt: null,
    exitCode: 0,
    reason: '',
    message: '',
    pid: null,
    shim: null,
    logPath: logPath(sandbox.config.logDirectory, config.logPath),
    user: { uid: 0, gid: 0, supplementalGroups: [] },
    resources: config.resources,
    stopSignal: stopSignalOf(config, image.config),
    rootfs: { lowers, ...hall.layout.rootfs(id) },
    cgroupPath: absoluteCgroup(hall.options.cgroupDriver, sandbox.cgroupParent, id),
  };
}

/** `failed_precondition` where the sandbox is not READY. */
export function requireReady(sandbox: SandboxRow): void {
  if (sandbox.state !== 'ready')
    throw new SkiffError(
      'failed_precondition',
      `sandbox ${sandbox.id} is not ready: no container can be made in it`,
    );
}

/** `already_exists` where the sandbox has a container of that name and attempt. */
export function requireFreeContainerName(
  hall: Pick<Hall, 'containers'>,
  sandbox: SandboxRow,
  config: ContainerConfig,
): void {
  const { name, attempt } = config.metadata;
  const holder = containersOf(hall, sandbox.id).find(
    (row) => row.config.metadata.name === name && row.config.metadata.attempt === attempt,
  );
  if (holder !== undefined)
    throw new SkiffError(
      'already_exists',
      `container ${name} attempt ${attempt} of sandbox ${sandbox.id} is ${holder.id}; remove that one or raise the attempt`,
    );
}

/** The image that the config names; `not_found` where it is not here, since CreateContainer pulls nothing. */
export function requireImage(hall: Pick<Hall, 'images'>, config: ContainerConfig): ImageRow {
  const name = config.image.image;
  const image = name === '' ? undefined : hall.images.find(name);
  if (image === undefined)
    throw new SkiffError('not_found', `image "${name}" is not here; pull it first: \`crictl pull ${name}\``);
  return image;
}
