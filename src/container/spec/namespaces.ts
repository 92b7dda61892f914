import { SkiffError } from '../../base/errors.ts';
import type { Namespace } from '../../oci/runtime-spec.ts';
import type { SpecInput } from './input.ts';

/**
 * The namespaces of a container. Network, IPC and UTS are those that the
 * sandbox has pinned, none where it uses the node's; the mount namespace is
 * always its own; a cgroup namespace hides the host's hierarchy from all but
 * privileged containers.
 */
export function namespacesChapter(
  input: Pick<SpecInput, 'config' | 'sandbox' | 'host' | 'targetPid'>,
): Namespace[] {
  const { net, ipc, uts } = input.sandbox.namespaces;
  return [
    { type: 'mount' },
    ...joined('network', net),
    ...joined('ipc', ipc),
    ...joined('uts', uts),
    ...pidNamespace(input),
    ...(hasCgroupNamespace(input) ? [{ type: 'cgroup' } as const] : []),
  ];
}

export function hasCgroupNamespace(input: Pick<SpecInput, 'config' | 'host'>): boolean {
  return input.host.cgroupV2 && !input.config.security.privileged;
}

function joined(type: Namespace['type'], path: string | null): Namespace[] {
  return path === null ? [] : [{ type, path }];
}

function pidNamespace(input: Pick<SpecInput, 'config' | 'sandbox' | 'targetPid'>): Namespace[] {
  switch (input.config.security.namespaces.pid) {
    case 'container':
      return [{ type: 'pid' }];
    case 'node':
      return [];
    case 'pod':
      return [{ type: 'pid', path: pidPath(input.sandbox.init?.pid, 'the sandbox has no init') }];
    case 'target':
      return [{ type: 'pid', path: pidPath(input.targetPid, 'the target container does not run') }];
  }
}

function pidPath(pid: number | null | undefined, otherwise: string): string {
  if (pid === null || pid === undefined)
    throw new SkiffError('failed_precondition', `join PID namespace: ${otherwise}`);
  return `/proc/${pid}/ns/pid`;
}
