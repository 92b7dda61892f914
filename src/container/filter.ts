import type { ContainerFilter } from '../service/api.ts';
import { type ContainerRow, stateOf } from './types.ts';

/**
 * True where a row passes a ListContainers filter: all that is given must hold.
 * Ids may be cut short, as crictl shows them.
 */
export function matchesContainer(row: ContainerRow, filter: ContainerFilter): boolean {
  return (
    row.id.startsWith(filter.id) &&
    row.sandboxId.startsWith(filter.podSandboxId) &&
    (filter.state === null || stateOf(row) === filter.state) &&
    Object.entries(filter.labels).every(([key, value]) => row.config.labels[key] === value)
  );
}
