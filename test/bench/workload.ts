import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CriClient } from '../../src/cri/client.ts';
import { timed } from './figures.ts';

/** What a kubelet sends for a pod that asks for nothing special: a network and IPC of the pod's own, a PID namespace per container. */
const SECURITY = {
  namespace_options: { network: 'POD', pid: 'CONTAINER', ipc: 'POD' },
} as const;

/** A pod of one container, as far as it has been started. */
export interface Pod {
  sandbox: string;
  container: string;
  /** The container's log on the host. */
  log: string;
}

export interface PodStart {
  name: string;
  image: string;
  /** Directory for log directories. */
  logs: string;
  command?: string[];
}

export interface StartTimes {
  runPodSandbox: number;
  createContainer: number;
  startContainer: number;
  podStart: number;
}

export interface EndTimes {
  stopContainer: number;
  stopPodSandbox: number;
  removeContainer: number;
  removePodSandbox: number;
  podEnd: number;
}

/** One pod of one container, as a kubelet starts it; milliseconds of each call. */
export async function startPod(
  client: CriClient,
  options: PodStart,
): Promise<{ pod: Pod; times: StartTimes }> {
  const logDirectory = join(options.logs, options.name);
  await mkdir(join(logDirectory, 'main'), { recursive: true });
  const podConfig = {
    metadata: { name: options.name, namespace: 'bench', uid: `uid-${options.name}`, attempt: 0 },
    log_directory: logDirectory,
    linux: { security_context: SECURITY },
  };
  const containerConfig = {
    metadata: { name: 'main', attempt: 0 },
    image: { image: options.image },
    command: options.command ?? ['sleep', '100000'],
    log_path: 'main/0.log',
    linux: { security_context: SECURITY },
  };
  const run = await timed(() => client.runtime.RunPodSandbox({ config: podConfig }));
  const sandbox = run.value.pod_sandbox_id;
  const create = await timed(() =>
    client.runtime.CreateContainer({
      pod_sandbox_id: sandbox,
      config: containerConfig,
      sandbox_config: podConfig,
    }),
  );
  const container = create.value.container_id;
  const start = await timed(() => client.runtime.StartContainer({ container_id: container }));
  return {
    pod: { sandbox, container, log: join(logDirectory, 'main/0.log') },
    times: {
      runPodSandbox: run.ms,
      createContainer: create.ms,
      startContainer: start.ms,
      podStart: run.ms + create.ms + start.ms,
    },
  };
}

/** The four calls with which a kubelet ends a pod; milliseconds of each. */
export async function endPod(client: CriClient, { sandbox, container }: Pod): Promise<EndTimes> {
  const { runtime } = client;
  const stop = await timed(() => runtime.StopContainer({ container_id: container, timeout: 0 }));
  const stopPod = await timed(() => runtime.StopPodSandbox({ pod_sandbox_id: sandbox }));
  const remove = await timed(() => runtime.RemoveContainer({ container_id: container }));
  const removePod = await timed(() => runtime.RemovePodSandbox({ pod_sandbox_id: sandbox }));
  return {
    stopContainer: stop.ms,
    stopPodSandbox: stopPod.ms,
    removeContainer: remove.ms,
    removePodSandbox: removePod.ms,
    podEnd: stop.ms + stopPod.ms + remove.ms + removePod.ms,
  };
}

/** Milliseconds of ExecSync of `echo`. */
export async function execEcho(client: CriClient, pod: Pod): Promise<number> {
  const { ms, value } = await timed(() =>
    client.runtime.ExecSync({ container_id: pod.container, cmd: ['echo', 'hello'], timeout: 10 }),
  );
  if (value.stdout.toString() !== 'hello\n') throw new Error(`echo said ${value.stdout.toString()}`);
  return ms;
}
