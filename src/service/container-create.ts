import { join } from 'node:path';
import { SkiffError } from '../base/errors.ts';
import { writeFileAtomic } from '../base/files.ts';
import { newId } from '../base/id.ts';
import type { Operation } from '../base/operation.ts';
import { resolveMounts } from '../container/mount-sources.ts';
import { buildSpec } from '../container/spec/build.ts';
import type { ContainerConfig, ContainerRow } from '../container/types.ts';
import { resolveUser } from '../container/user.ts';
import { validateContainer } from '../container/validate.ts';
import { prepareVolumes } from '../container/volumes.ts';
import type { ImageRow } from '../image/types.ts';
import { cgroupsPath } from '../os/cgroup.ts';
import { makeRootfs } from '../os/overlay.ts';
import { sandboxFiles } from '../sandbox/files.ts';
import type { SandboxRow } from '../sandbox/types.ts';
import type { CallContext } from './api.ts';
import { releaseContainer } from './container-remove.ts';
import { newContainerRow, requireFreeContainerName, requireImage, requireReady } from './container-row.ts';
import { emitContainer } from './emit.ts';
import type { Hall } from './hall.ts';
import { containerOf, runtimeOf, sandboxOf } from './lookup.ts';

/**
 * CreateContainer: the writable layer, the mounted root file system and the OCI
 * bundle. The sandbox must be READY and the image here; nothing is pulled.
 */
export async function createContainer(
  hall: Hall,
  call: CallContext,
  sandboxId: string,
  config: ContainerConfig,
): Promise<string> {
  const sandbox = sandboxOf(hall, sandboxId);
  validateContainer(config, sandbox);
  const key = `${sandbox.id}/${config.metadata.name}/${config.metadata.attempt}`;
  return hall.calls.run.join(key, call.signal, (signal) => create(hall, signal, sandbox.id, config));
}

async function create(
  hall: Hall,
  signal: AbortSignal,
  sandboxId: string,
  config: ContainerConfig,
): Promise<string> {
  const sandbox = sandboxOf(hall, sandboxId);
  requireReady(sandbox);
  requireFreeContainerName(hall, sandbox, config);
  const image = requireImage(hall, config);
  const id = newId();
  const lowers = hall.images.lowers(image);
  const release = hall.holds.take(lowers);
  try {
    return await hall.operations.run('CreateContainer', id, async (op) => {
      const row = newContainerRow(hall, { id, sandbox, config, image, lowers });
      const made = await make(hall, op, row, sandbox, image);
      signal.throwIfAborted();
      // The sandbox may have been stopped while this went on.
      requireReady(sandboxOf(hall, sandboxId));
      const why = { subject: id, what: 'created', detail: { image: image.id, ms: op.timings() } };
      await op.step(
        'write row',
        () => hall.containers.insert(made, why),
        () => hall.containers.delete(id, { subject: id, what: 'creation undone' }),
      );
      // Once more: from here on whoever removes the sandbox sees the container.
      requireReady(sandboxOf(hall, sandboxId));
      emitContainer(hall, 'created', made);
      return id;
    });
  } finally {
    release();
  }
}

/** Makes all that the container has on disk; its row with what was found out on the way. */
async function make(
  hall: Hall,
  op: Operation,
  row: ContainerRow,
  sandbox: SandboxRow,
  image: ImageRow,
): Promise<ContainerRow> {
  const { id, config, rootfs } = row;
  op.owe('directories', () => releaseContainer(hall, id));
  await op.step('mount rootfs', () => makeRootfs(rootfs));
  const user = await op.step('look up user', () =>
    resolveUser(rootfs.merged, image.config.user, config.security),
  );
  const mounts = await op.step('resolve mounts', () =>
    resolveMounts(config.mounts, { reject: hall.options.absentMountSourcesToReject }),
  );
  const volumes = await op.step('prepare volumes', () =>
    prepareVolumes({
      image: image.config,
      mounts,
      rootfs: rootfs.merged,
      directory: join(hall.layout.container(id), 'volumes'),
    }),
  );
  const { spec, warnings } = await op.step('build spec', async () =>
    buildSpec({
      ...(await surroundings(hall, row, sandbox)),
      id,
      config: { ...config, mounts: [...volumes, ...mounts] },
      sandbox,
      image: image.config,
      user,
      rootfs: rootfs.merged,
    }),
  );
  for (const warning of warnings) hall.log.warn({ id }, warning);
  await op.step('write bundle', () =>
    writeFileAtomic(join(hall.layout.container(id), 'config.json'), JSON.stringify(spec), { mode: 0o600 }),
  );
  return { ...row, user };
}

/** What the spec takes from the daemon and from the pod, rather than from the container. */
async function surroundings(hall: Hall, row: ContainerRow, sandbox: SandboxRow) {
  const { cgroupDriver, unsetSeccompProfile, tolerateMissingControllers } = hall.options;
  const target = row.config.security.namespaces;
  return {
    sandboxFiles: {
      ...sandboxFiles(hall.layout.sandbox(sandbox.id)),
      shm: sandbox.namespaces.ipc === null ? '/dev/shm' : hall.layout.shm(sandbox.id),
    },
    cgroupsPath: cgroupsPath(cgroupDriver, sandbox.cgroupParent, row.id),
    host: hall.host,
    features: await runtimeOf(hall, row.runtimeHandler).features(),
    unsetSeccompProfile,
    tolerateMissingControllers,
    targetPid: target.pid === 'target' ? targetPid(hall, sandbox, target.targetId) : null,
  };
}

/** Init of the container whose PID namespace is joined: one that runs in the same pod. */
function targetPid(hall: Hall, sandbox: SandboxRow, id: string): number {
  const target = containerOf(hall, id);
  if (target.sandboxId !== sandbox.id)
    throw new SkiffError(
      'invalid_argument',
      `namespace_options.target_id: container ${id} is of another pod`,
    );
  if (target.pid === null)
    throw new SkiffError('failed_precondition', `namespace_options.target_id: container ${id} does not run`);
  return target.pid;
}
