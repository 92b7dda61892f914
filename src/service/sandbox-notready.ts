import { nowNs } from '../base/clock.ts';
import { processEnd } from '../os/process.ts';
import type { SandboxRow } from '../sandbox/types.ts';
import { emitSandbox } from './emit.ts';
import type { Hall } from './hall.ts';

/** READY to NOTREADY; `why` goes into the journal. One that is NOTREADY stays as it is. */
export async function markNotReady(
  hall: Pick<Hall, 'sandboxes'>,
  id: string,
  why: string,
): Promise<SandboxRow> {
  return hall.sandboxes.update(
    id,
    (row) => (row.state === 'notready' ? row : { ...row, state: 'notready', stoppedAt: nowNs() }),
    { subject: id, what: 'sandbox notready', detail: { why } },
  );
}

/**
 * Makes a sandbox NOTREADY when the init of its shared PID namespace ends
 * unasked: all its processes have ended with it and none can be started.
 */
export function watchInit(
  hall: Pick<Hall, 'containers' | 'events' | 'log' | 'sandboxes'>,
  row: SandboxRow,
): void {
  if (row.init === null) return;
  processEnd(row.init)
    .then(async () => {
      if (hall.sandboxes.get(row.id)?.state !== 'ready') return;
      hall.log.warn({ id: row.id }, 'the init of a pod has ended unasked; the pod is NOTREADY');
      emitSandbox(hall, 'stopped', await markNotReady(hall, row.id, 'its init has ended'));
    })
    .catch((err) => hall.log.error({ id: row.id, err }, 'the init of a pod is not watched any more'));
}
