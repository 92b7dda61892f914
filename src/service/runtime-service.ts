import { SkiffError } from '../base/errors.ts';
import { VERSION } from '../base/version.ts';
import { matchesContainer } from '../container/filter.ts';
import { execProcess } from '../container/spec/process.ts';
import { stateOf } from '../container/types.ts';
import { matchesSandbox } from '../sandbox/filter.ts';
import type { ContainerFilter, ExecResult, RuntimeApi, SandboxFilter } from './api.ts';
import { createContainer } from './container-create.ts';
import { removeContainer } from './container-remove.ts';
import { startContainer } from './container-start.ts';
import { stopContainer } from './container-stop.ts';
import { updateContainerResources } from './container-update.ts';
import type { Hall } from './hall.ts';
import { containerStatus, podSandboxStatus, readSpec } from './inspect.ts';
import { containerOf, containersOf, sandboxOf } from './lookup.ts';
import { removePodSandbox } from './sandbox-remove.ts';
import { runPodSandbox } from './sandbox-run.ts';
import { stopPodSandbox } from './sandbox-stop.ts';
import { updatePodSandboxResources } from './sandbox-update.ts';
import { runtimeStatus } from './status.ts';

/** The calls of CRI's RuntimeService, each one its use case. */
export function runtimeService(hall: Hall): RuntimeApi {
  return {
    version: () => ({ runtimeName: 'skiff', runtimeVersion: VERSION }),
    status: (verbose) => runtimeStatus(hall, verbose),
    runtimeConfig: () => ({ cgroupDriver: hall.options.cgroupDriver }),
    updateRuntimeConfig: (podCidr) => hall.cni.renderTemplate(podCidr),

    runPodSandbox: (call, config, handler) => runPodSandbox(hall, call, config, handler),
    stopPodSandbox: (call, id) => stopPodSandbox(hall, call, id),
    removePodSandbox: (call, id) => removePodSandbox(hall, call, id),
    podSandboxStatus: (id, verbose) => podSandboxStatus(hall, id, verbose),
    updatePodSandboxResources: (call, id, change) => updatePodSandboxResources(hall, call, id, change),
    listPodSandbox: (filter) => listSandboxes(hall, filter),

    createContainer: (call, sandboxId, config) => createContainer(hall, call, sandboxId, config),
    startContainer: (call, id) => startContainer(hall, call, id),
    stopContainer: (call, id, timeout) => stopContainer(hall, call, id, timeout),
    removeContainer: (call, id) => removeContainer(hall, call, id),
    containerStatus: (id, verbose) => containerStatus(hall, id, verbose),
    listContainers: (filter) => listContainers(hall, filter),
    updateContainerResources: (call, id, resources) => updateContainerResources(hall, call, id, resources),
    reopenContainerLog: (id) => reopenContainerLog(hall, id),
    execSync: (call, id, cmd, timeout) => execSync(hall, call.signal, id, cmd, timeout),

    containerStats: async (id) => hall.stats.containerStats(containerOf(hall, id)),
    listContainerStats: async (filter) =>
      hall.stats.listContainerStats(listContainers(hall, { ...filter, state: 'running' })),
    podSandboxStats: async (id) => {
      const row = sandboxOf(hall, id);
      return hall.stats.podSandboxStats(row, containersOf(hall, row.id));
    },
    listPodSandboxStats: async (filter) =>
      Promise.all(
        listSandboxes(hall, { ...filter, state: 'ready' }).map((row) =>
          hall.stats.podSandboxStats(row, containersOf(hall, row.id)),
        ),
      ),
    containerEvents: (signal) => hall.events.subscribe(signal),
  };
}

function listSandboxes(hall: Hall, filter: SandboxFilter) {
  return hall.sandboxes.values().filter((row) => row.state !== 'initialized' && matchesSandbox(row, filter));
}

function listContainers(hall: Hall, filter: ContainerFilter) {
  return hall.containers.values().filter((row) => matchesContainer(row, filter));
}

async function reopenContainerLog(hall: Hall, id: string): Promise<void> {
  const row = containerOf(hall, id);
  const entry = hall.running.get(row.id);
  if (entry === undefined || stateOf(row) !== 'running')
    throw new SkiffError(
      'failed_precondition',
      `reopen the log of container ${row.id}: it is ${stateOf(row)}, not running`,
    );
  await entry.shim.reopenLog();
}

async function execSync(
  hall: Hall,
  signal: AbortSignal,
  id: string,
  cmd: string[],
  timeout: number,
): Promise<ExecResult> {
  const row = containerOf(hall, id);
  if (cmd.length === 0) throw new SkiffError('invalid_argument', 'cmd is empty: name the program to run');
  if (cmd.some((word) => word.includes('\0')))
    throw new SkiffError('invalid_argument', 'cmd holds a NUL byte');
  if (stateOf(row) !== 'running')
    throw new SkiffError(
      'failed_precondition',
      `exec in container ${row.id}: it is ${stateOf(row)}, not running`,
    );
  return hall.exec.run(row, execProcess(await readSpec(hall, row.id), cmd, false), timeout, signal);
}
