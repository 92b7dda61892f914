import type { SandboxRow } from '../../sandbox/types.ts';
import type { SandboxStatus } from '../../service/api.ts';
import type { PodSandbox } from '../gen/runtime/v1/PodSandbox.ts';
import type { PodSandboxState } from '../gen/runtime/v1/PodSandboxState.ts';
import type { PodSandboxStatus } from '../gen/runtime/v1/PodSandboxStatus.ts';
import type { PodSandboxStatusResponse } from '../gen/runtime/v1/PodSandboxStatusResponse.ts';
import { containerStatus } from './container-status.ts';
import { verboseInfo } from './fields.ts';
import { sandboxMetadataMessage } from './sandbox-config.ts';
import { namespaceMessage } from './security.ts';

/** A sandbox as ListPodSandbox shows it: of the row alone, so that its bytes can be kept with the row. */
export function sandboxMessage(row: SandboxRow): PodSandbox {
  return {
    id: row.id,
    metadata: sandboxMetadataMessage(row.config.metadata),
    state: stateMessage(row),
    created_at: row.createdAt,
    labels: row.config.labels,
    annotations: row.config.annotations,
    runtime_handler: row.runtimeHandler,
  };
}

/** A sandbox as PodSandboxStatus and events show it; `network` is always there, as the kubelet expects it. */
export function sandboxStatus(row: SandboxRow): PodSandboxStatus {
  return {
    ...sandboxMessage(row),
    network: {
      ip: row.network?.ip ?? '',
      additional_ips: row.network?.additionalIps.map((ip) => ({ ip })) ?? [],
    },
    linux: { namespaces: { options: namespaceMessage(row.config.security.namespaces) } },
  };
}

export function sandboxStatusResponse(status: SandboxStatus): PodSandboxStatusResponse {
  return {
    status: sandboxStatus(status.row),
    info: verboseInfo(status.info),
    containers_statuses: status.containers.map(containerStatus),
    timestamp: status.timestamp,
  };
}

function stateMessage(row: SandboxRow): PodSandboxState {
  return row.state === 'ready' ? 'SANDBOX_READY' : 'SANDBOX_NOTREADY';
}
