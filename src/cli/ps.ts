import type { CriClient } from '../cri/client.ts';
import type { Container } from './cri-types.ts';
import type { Daemon } from './daemon.ts';
import { inventory, podName } from './names.ts';
import { age, type Cell, print, printIds, printJson, shortId, table } from './output.ts';

interface ListOptions {
  all: boolean;
  quiet: boolean;
  json: boolean;
}

const STATES: Record<string, Cell> = {
  CONTAINER_CREATED: { text: 'created', style: 'yellow' },
  CONTAINER_RUNNING: { text: 'running', style: 'green' },
  CONTAINER_EXITED: { text: 'exited', style: 'gray' },
  SANDBOX_READY: { text: 'ready', style: 'green' },
  SANDBOX_NOTREADY: { text: 'notready', style: 'gray' },
};

/** `skiff ps`: running containers, all with -a. */
export async function ps(daemon: Daemon, options: ListOptions): Promise<void> {
  await daemon.withCri(async (cri) => {
    const { containers, pods } = await inventory(cri);
    const shown = containers.filter(({ state }) => options.all || state === 'CONTAINER_RUNNING');
    if (options.json) return printJson(shown);
    if (options.quiet) return printIds(shown);
    const podById = new Map(pods.map((pod) => [pod.id, pod]));
    const rows = await Promise.all(
      shown.map(async (container) => {
        const pod = podById.get(container.pod_sandbox_id);
        return [
          shortId(container.id),
          container.image?.user_specified_image || container.image?.image || shortId(container.image_id),
          await stateCell(cri, container),
          age(container.created_at),
          container.metadata?.name ?? '',
          String(container.metadata?.attempt ?? 0),
          pod === undefined ? shortId(container.pod_sandbox_id) : podName(pod),
        ];
      }),
    );
    print(table(['CONTAINER', 'IMAGE', 'STATE', 'AGE', 'NAME', 'ATTEMPT', 'POD'], rows));
  });
}

/** `skiff pods`: ready pods, all with -a. */
export async function pods(daemon: Daemon, options: ListOptions): Promise<void> {
  await daemon.withCri(async (cri) => {
    const { pods: known, containers } = await inventory(cri);
    const shown = known.filter(({ state }) => options.all || state === 'SANDBOX_READY');
    if (options.json) return printJson(shown);
    if (options.quiet) return printIds(shown);
    const rows = await Promise.all(
      shown.map(async (pod) => [
        shortId(pod.id),
        podName(pod),
        STATES[pod.state] ?? pod.state,
        age(pod.created_at),
        (await address(cri, pod.id)) || '-',
        String(containers.filter(({ pod_sandbox_id }) => pod_sandbox_id === pod.id).length),
        pod.runtime_handler || '(default)',
      ]),
    );
    print(table(['POD', 'NAME', 'STATE', 'AGE', 'ADDRESS', 'CONTAINERS', 'RUNTIME'], rows));
  });
}

/** `exited (1)`: the list itself does not carry the exit code. */
async function stateCell(cri: CriClient, { id, state }: Container): Promise<Cell> {
  const cell = STATES[state] ?? { text: state };
  if (state !== 'CONTAINER_EXITED') return cell;
  const status = await cri.runtime.ContainerStatus({ container_id: id }).catch(() => undefined);
  const code = status?.status?.exit_code;
  return { text: `${cell.text} (${code ?? '?'})`, style: code === 0 ? cell.style : 'red' };
}

async function address(cri: CriClient, id: string): Promise<string> {
  // A pod may go between the list and the question.
  const reply = await cri.runtime.PodSandboxStatus({ pod_sandbox_id: id }).catch(() => undefined);
  const network = reply?.status?.network;
  return [network?.ip ?? '', ...(network?.additional_ips ?? []).map(({ ip }) => ip)]
    .filter(Boolean)
    .join(',');
}
