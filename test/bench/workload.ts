import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CriClient } from '../../src/cri/client.ts';
import { timed } from './figures.ts';

export interface PodTimes {
  runPodSandbox: number;
  createContainer: number;
  startContainer: number;
  podStart: number;
}

export interface Pod {
  sandbox: string;
  container: string;
}

export const STEPS = ['runPodSandbox', 'createContainer', 'startContainer', 'podStart'] as const;

/** One pod of one container that sleeps, as a kubelet starts it; milliseconds of each call. */
export async function startPod(
  client: CriClient,
  options: { name: string; image: string; logs: string; command?: string[] },
): Promise<{ pod: Pod; times: PodTimes }> {
  const logDirectory = join(options.logs, options.name);
  await mkdir(logDirectory, { recursive: true });
  const podConfig = {
    metadata: { name: options.name, namespace: 'bench', uid: `uid-${options.name}`, attempt: 0 },
    log_directory: logDirectory,
    linux: {},
  };
  const containerConfig = {
    metadata: { name: 'main', attempt: 0 },
    image: { image: options.image },
    command: options.command ?? ['sleep', '100000'],
    log_path: 'main/0.log',
    linux: {},
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
    pod: { sandbox, container },
    times: {
      runPodSandbox: run.ms,
      createContainer: create.ms,
      startContainer: start.ms,
      podStart: run.ms + create.ms + start.ms,
    },
  };
}

/** The four calls with which a kubelet ends a pod; milliseconds of all. */
export async function endPod(client: CriClient, { sandbox, container }: Pod): Promise<number> {
  const { ms } = await timed(async () => {
    await client.runtime.StopContainer({ container_id: container, timeout: 0 });
    await client.runtime.StopPodSandbox({ pod_sandbox_id: sandbox });
    await client.runtime.RemoveContainer({ container_id: container });
    await client.runtime.RemovePodSandbox({ pod_sandbox_id: sandbox });
  });
  return ms;
}

/** Milliseconds of ExecSync of `echo`. */
export async function execEcho(client: CriClient, pod: Pod): Promise<number> {
  const { ms, value } = await timed(() =>
    client.runtime.ExecSync({ container_id: pod.container, cmd: ['echo', 'hello'], timeout: 10 }),
  );
  if (value.stdout.toString() !== 'hello\n') throw new Error(`echo said ${value.stdout.toString()}`);
  return ms;
}
