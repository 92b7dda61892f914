import { SkiffError } from '../base/errors.ts';
import type { CriClient } from '../cri/client.ts';
import type { Container, Pod } from './cri-types.ts';
import { shortId } from './output.ts';

/** All containers and pods, newest first. */
export interface Inventory {
  containers: Container[];
  pods: Pod[];
}

export type Target = { kind: 'container'; container: Container } | { kind: 'pod'; pod: Pod };

export async function inventory(cri: CriClient): Promise<Inventory> {
  const [{ containers }, { items }] = await Promise.all([
    cri.runtime.ListContainers({}),
    cri.runtime.ListPodSandbox({}),
  ]);
  return { containers: containers.sort(newestFirst), pods: items.sort(newestFirst) };
}

/**
 * The container that `name` means: an id or the start of one, a container's
 * name, or the name of a pod with one container. Of the attempts of one
 * container in one pod it is the newest.
 */
export function findContainer({ containers, pods }: Inventory, name: string): Container {
  const byId = containers.filter((container) => isId(container.id, name));
  if (byId.length > 0) return only(byId, name, 'containers', containerName);
  const byName = newestAttempts(containers.filter((container) => container.metadata?.name === name));
  if (byName.length > 0) return only(byName, name, 'containers', containerName);
  const inPods = pods.filter((pod) => isPod(pod, name)).map((pod) => pod.id);
  const within = newestAttempts(containers.filter((container) => inPods.includes(container.pod_sandbox_id)));
  if (within.length > 0) return only(within, name, 'containers', containerName);
  throw missing('container', name, 'skiff ps -a');
}

/** The pod or container that `name` means; of a pod and a container with the same name it is the pod. */
export function findTarget(all: Inventory, name: string): Target {
  const pods = all.pods.filter((pod) => isPod(pod, name));
  if (pods.length > 0) return { kind: 'pod', pod: only(pods, name, 'pods', podName) };
  const known = all.containers.some(({ id, metadata }) => isId(id, name) || metadata?.name === name);
  if (!known) throw missing('container or pod', name, 'skiff ps -a" or "skiff pods');
  return { kind: 'container', container: findContainer(all, name) };
}

export function containerName(container: Container): string {
  return container.metadata?.name ?? '';
}

export function podName(pod: Pod): string {
  return `${pod.metadata?.namespace ?? ''}/${pod.metadata?.name ?? ''}`;
}

function isPod(pod: Pod, name: string): boolean {
  return isId(pod.id, name) || pod.metadata?.name === name || podName(pod) === name;
}

function isId(id: string, start: string): boolean {
  return /^[0-9a-f]+$/.test(start) && id.startsWith(start);
}

function newestAttempts(containers: Container[]): Container[] {
  const seen = new Set<string>();
  return containers.filter(({ pod_sandbox_id, metadata }) => {
    const key = `${pod_sandbox_id} ${metadata?.name}`;
    return seen.has(key) ? false : seen.add(key);
  });
}

function only<T extends { id: string }>(
  found: T[],
  name: string,
  what: string,
  label: (one: T) => string,
): T {
  const [first, ...others] = found;
  if (first !== undefined && others.length === 0) return first;
  const ids = found.map((one) => `${shortId(one.id)} (${label(one)})`).join(', ');
  throw new SkiffError(
    'invalid_argument',
    `"${name}" means ${found.length} ${what}: ${ids}; give more of an id`,
  );
}

function missing(what: string, name: string, command: string): SkiffError {
  return new SkiffError('not_found', `there is no ${what} "${name}"; "${command}" shows what there is`);
}

function newestFirst(a: { created_at: string }, b: { created_at: string }): number {
  return Number(BigInt(b.created_at) - BigInt(a.created_at));
}
