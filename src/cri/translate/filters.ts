import type { ContainerState } from '../../container/types.ts';
import type { ContainerFilter, SandboxFilter } from '../../service/api.ts';
import type { ContainerFilter__Output } from '../gen/runtime/v1/ContainerFilter.ts';
import type { ContainerStatsFilter__Output } from '../gen/runtime/v1/ContainerStatsFilter.ts';
import type { PodSandboxFilter__Output } from '../gen/runtime/v1/PodSandboxFilter.ts';
import type { PodSandboxStatsFilter__Output } from '../gen/runtime/v1/PodSandboxStatsFilter.ts';
import { fromEnum } from './fields.ts';

const SANDBOX_STATES: Record<string, 'ready' | 'notready'> = {
  SANDBOX_READY: 'ready',
  SANDBOX_NOTREADY: 'notready',
};

const CONTAINER_STATES: Record<string, ContainerState> = {
  CONTAINER_CREATED: 'created',
  CONTAINER_RUNNING: 'running',
  CONTAINER_EXITED: 'exited',
  CONTAINER_UNKNOWN: 'unknown',
};

/** A filter that is absent lets everything through. */
export function sandboxFilter(
  message: PodSandboxFilter__Output | PodSandboxStatsFilter__Output | null,
): SandboxFilter {
  const state = message !== null && 'state' in message ? message.state : null;
  return {
    id: message?.id ?? '',
    state: state && fromEnum(SANDBOX_STATES, state.state, null),
    labels: message?.label_selector ?? {},
  };
}

export function containerFilter(
  message: ContainerFilter__Output | ContainerStatsFilter__Output | null,
): ContainerFilter {
  const state = message !== null && 'state' in message ? message.state : null;
  return {
    id: message?.id ?? '',
    // A state that this proto does not know is none that a container here has.
    state: state && fromEnum(CONTAINER_STATES, state.state, 'unknown'),
    podSandboxId: message?.pod_sandbox_id ?? '',
    labels: message?.label_selector ?? {},
  };
}
