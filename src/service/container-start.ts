import { rm } from 'node:fs/promises';
import { nowNs } from '../base/clock.ts';
import { SkiffError } from '../base/errors.ts';
import { type ContainerRow, stateOf } from '../container/types.ts';
import { startTime } from '../os/process.ts';
import { type Shim, startShim } from '../os/shim.ts';
import type { CallContext } from './api.ts';
import { emitContainer } from './emit.ts';
import type { Hall } from './hall.ts';
import { readSpec } from './inspect.ts';
import { containerOf, runtimeOf, sandboxOf } from './lookup.ts';

/** Exit code of a container that the OCI runtime could not start, as containerd has it. */
const START_ERROR_CODE = 128;
const SIGKILL = 9;

/**
 * StartContainer: CREATED to RUNNING, through one shim and one call of the OCI
 * runtime. Where the runtime refuses, the container is EXITED with code 128 and
 * reason StartError, and the runtime's own sentence is the error.
 */
export async function startContainer(hall: Hall, call: CallContext, id: string): Promise<void> {
  const row = containerOf(hall, id);
  await hall.calls.change.join(`start ${row.id}`, call.signal, () => start(hall, row.id));
}

async function start(hall: Hall, id: string): Promise<void> {
  const row = containerOf(hall, id);
  const state = stateOf(row);
  if (state !== 'created')
    throw new SkiffError('failed_precondition', `start container ${id}: it is ${state}, not created`);
  if (sandboxOf(hall, row.sandboxId).state !== 'ready')
    throw new SkiffError('failed_precondition', `start container ${id}: its sandbox is not ready`);
  if (hall.calls.change.has(`remove ${id}`))
    throw new SkiffError('failed_precondition', `start container ${id}: it is being removed`);
  await hall.operations.run('StartContainer', id, async (op) => {
    const shim = await op
      .step(
        'start',
        () => launch(hall, row),
        (made) => abandon(hall, row, made),
      )
      .catch(async (cause) => failStart(hall, row, await namingCommand(hall, row, cause)));
    const running = await op.step('write row running', () => markRunning(hall, row.id, shim));
    hall.running.watch(running, shim);
    emitContainer(hall, 'started', running);
  });
}

function launch(hall: Hall, row: ContainerRow): Promise<Shim> {
  const runtime = runtimeOf(hall, row.runtimeHandler);
  return startShim({
    id: row.id,
    runtime: runtime.path,
    runtimeArgs: runtime.globalArgs(),
    bundle: hall.layout.container(row.id),
    stateDir: hall.layout.containerRun(row.id),
    logPath: row.logPath,
    exitFile: hall.layout.exitFile(row.id),
    tty: row.config.tty,
    stdin: row.config.stdin,
    stdinOnce: row.config.stdinOnce,
    maxLine: hall.options.maxLogLineSize,
  });
}

/** Undoes a start whose row could not be written: the container is as it was created. */
async function abandon(hall: Hall, row: ContainerRow, shim: Shim): Promise<void> {
  await shim.kill(SIGKILL, true);
  await shim.exited;
  await hall.running.forgetRuntime(row);
  await rm(hall.layout.exitFile(row.id), { force: true });
}

/** The row of a container whose shim runs; also what recovery writes when it finds a shim that no row tells of. */
export async function markRunning(
  hall: Pick<Hall, 'containers'>,
  id: string,
  shim: Shim,
): Promise<ContainerRow> {
  const started = await startTime(shim.shimPid);
  return hall.containers.update(
    id,
    (row) =>
      row.pid === shim.containerPid && row.shim?.pid === shim.shimPid && row.shim.startTime === started
        ? row
        : {
            ...row,
            startedAt: row.startedAt ?? nowNs(),
            pid: shim.containerPid,
            shim: { pid: shim.shimPid, startTime: started ?? '' },
          },
    { subject: id, what: 'started', detail: { pid: shim.containerPid } },
  );
}

/** The runtime's own sentence, with the command where it leaves that out, as crun's does. */
async function namingCommand(hall: Hall, row: ContainerRow, cause: unknown): Promise<SkiffError> {
  const error = SkiffError.from(cause);
  const command = await readSpec(hall, row.id).then(
    (spec) => spec.process?.args?.[0] ?? '',
    () => '',
  );
  return error.message.includes(command) ? error : SkiffError.from(error, `command "${command}"`);
}

async function failStart(hall: Hall, row: ContainerRow, error: SkiffError): Promise<never> {
  const now = nowNs();
  const failed = await hall.containers.update(
    row.id,
    (old) => ({
      ...old,
      startedAt: now,
      finishedAt: now,
      exitCode: START_ERROR_CODE,
      reason: 'StartError',
      message: error.message,
    }),
    { subject: row.id, what: 'start failed', detail: { message: error.message } },
  );
  emitContainer(hall, 'stopped', failed);
  throw error;
}
