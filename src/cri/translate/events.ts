import type { ContainerEvent } from '../../service/api.ts';
import type { ContainerEventResponse } from '../gen/runtime/v1/ContainerEventResponse.ts';
import type { ContainerEventType } from '../gen/runtime/v1/ContainerEventType.ts';
import { containerStatus } from './container-status.ts';
import { sandboxStatus } from './sandbox-status.ts';

const TYPES: Record<ContainerEvent['type'], ContainerEventType> = {
  created: 'CONTAINER_CREATED_EVENT',
  started: 'CONTAINER_STARTED_EVENT',
  stopped: 'CONTAINER_STOPPED_EVENT',
  deleted: 'CONTAINER_DELETED_EVENT',
};

/** An event of a container, or of a sandbox where the id is that of the sandbox. */
export function containerEvent(event: ContainerEvent): ContainerEventResponse {
  return {
    container_id: event.containerId,
    container_event_type: TYPES[event.type],
    created_at: event.createdAt,
    pod_sandbox_status: sandboxStatus(event.sandbox),
    containers_statuses: event.containers.map(containerStatus),
  };
}
