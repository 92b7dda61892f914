import { SkiffError } from '../base/errors.ts';
import type { ContainerRow } from '../container/types.ts';
import { stateOf } from '../container/types.ts';
import type { OciRuntime } from '../os/oci-runtime.ts';
import type { SandboxRow } from '../sandbox/types.ts';
import type { ContainerView } from './api.ts';
import type { Hall } from './hall.ts';

/** The sandbox of that id or unique prefix; `not_found` where there is none or it is still being made. */
export function sandboxOf(hall: Pick<Hall, 'sandboxes'>, id: string): SandboxRow {
  const row = findSandbox(hall, id);
  if (row === undefined)
    throw new SkiffError('not_found', `sandbox ${id}: there is none; list them with \`crictl pods\``);
  return row;
}

/** As `sandboxOf`, but undefined where there is none. */
export function findSandbox(hall: Pick<Hall, 'sandboxes'>, id: string): SandboxRow | undefined {
  requireId(id, 'pod_sandbox_id');
  const row = hall.sandboxes.find(id);
  return row?.state === 'initialized' ? undefined : row;
}

/** The container of that id or unique prefix; `not_found` where there is none. */
export function containerOf(hall: Pick<Hall, 'containers'>, id: string): ContainerRow {
  const row = findContainer(hall, id);
  if (row === undefined)
    throw new SkiffError('not_found', `container ${id}: there is none; list them with \`crictl ps -a\``);
  return row;
}

/** As `containerOf`, but undefined where there is none. */
export function findContainer(hall: Pick<Hall, 'containers'>, id: string): ContainerRow | undefined {
  requireId(id, 'container_id');
  return hall.containers.find(id);
}

/** The OCI runtime of a handler; one that a restart's configuration has dropped is `failed_precondition`. */
export function runtimeOf(hall: Pick<Hall, 'runtimes'>, handler: string): OciRuntime {
  const runtime = hall.runtimes.get(handler);
  if (runtime === undefined)
    throw new SkiffError(
      'failed_precondition',
      `runtime handler "${handler}" is not configured any more; add [runtimes.${handler}] to the configuration again`,
    );
  return runtime;
}

/** The containers of a sandbox, oldest first. */
export function containersOf(hall: Pick<Hall, 'containers'>, sandboxId: string): ContainerRow[] {
  return hall.containers.values().filter((row) => row.sandboxId === sandboxId);
}

export function viewOf(row: ContainerRow): ContainerView {
  return { row, state: stateOf(row) };
}

function requireId(id: string, field: string): void {
  if (id === '') throw new SkiffError('invalid_argument', `${field} is empty`);
}
