import { type ContainerRow, type ContainerState, stateOf } from '../../container/types.ts';
import type { ContainerView } from '../../service/api.ts';
import type { Container } from '../gen/runtime/v1/Container.ts';
import type { ContainerState as StateMessage } from '../gen/runtime/v1/ContainerState.ts';
import type { ContainerStatus } from '../gen/runtime/v1/ContainerStatus.ts';
import { imageSpecMessage, mountMessage } from './container-config.ts';
import { resourcesMessage } from './resources.ts';
import { signalMessage } from './signal.ts';

const STATES: Record<ContainerState, StateMessage> = {
  created: 'CONTAINER_CREATED',
  running: 'CONTAINER_RUNNING',
  exited: 'CONTAINER_EXITED',
  unknown: 'CONTAINER_UNKNOWN',
};

/** A container as ListContainers shows it: of the row alone, so that its bytes can be kept with the row. */
export function containerMessage(row: ContainerRow): Container {
  return {
    id: row.id,
    pod_sandbox_id: row.sandboxId,
    metadata: row.config.metadata,
    image: imageSpecMessage(row.config.image),
    image_ref: row.imageRef,
    image_id: row.imageId,
    state: STATES[stateOf(row)],
    created_at: row.createdAt,
    labels: row.config.labels,
    annotations: row.config.annotations,
  };
}

/** A container as ContainerStatus, PodSandboxStatus and events show it. Times are 0 until they have come. */
export function containerStatus({ row, state }: ContainerView): ContainerStatus {
  const resources = resourcesMessage(row.resources);
  return {
    id: row.id,
    metadata: row.config.metadata,
    state: STATES[state],
    created_at: row.createdAt,
    started_at: row.startedAt ?? '0',
    finished_at: row.finishedAt ?? '0',
    exit_code: row.exitCode,
    image: imageSpecMessage(row.config.image),
    image_ref: row.imageRef,
    image_id: row.imageId,
    reason: row.reason,
    message: row.message,
    labels: row.config.labels,
    annotations: row.config.annotations,
    mounts: row.config.mounts.map(mountMessage),
    log_path: row.logPath,
    resources: resources && { linux: resources },
    user: {
      linux: {
        uid: row.user.uid,
        gid: row.user.gid,
        supplemental_groups: row.user.supplementalGroups,
      },
    },
    stop_signal: signalMessage(row.stopSignal),
  };
}
