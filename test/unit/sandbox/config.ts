import type { NamespaceOptions, SandboxConfig, SandboxRow } from '../../../src/sandbox/types.ts';

/** A pod as crictl sends the least of one; `changes` replace whole fields. */
export function sandboxConfig(
  changes: Partial<SandboxConfig> = {},
  namespaces: Partial<NamespaceOptions> = {},
): SandboxConfig {
  return {
    metadata: { name: 'web-0', uid: '11-22', namespace: 'shop', attempt: 0 },
    hostname: 'web-0',
    logDirectory: '/var/log/pods/x',
    dns: null,
    portMappings: [],
    labels: {},
    annotations: {},
    cgroupParent: '',
    sysctls: {},
    security: {
      namespaces: { network: 'pod', pid: 'container', ipc: 'pod', targetId: '', userns: null, ...namespaces },
      selinux: null,
      runAsUser: null,
      runAsGroup: null,
      readonlyRootfs: false,
      supplementalGroups: [],
      supplementalGroupsPolicy: 'merge',
      privileged: false,
      seccomp: null,
      apparmor: null,
    },
    overhead: null,
    resources: null,
    ...changes,
  };
}

/** The stored row of such a pod, READY. */
export function sandboxRow(config: SandboxConfig, changes: Partial<SandboxRow> = {}): SandboxRow {
  return {
    id: 'a'.repeat(64),
    config,
    runtimeHandler: '',
    state: 'ready',
    createdAt: '1',
    stoppedAt: null,
    namespaces: { net: '/run/netns/skiff-aaaaaaaaaaaaaaaa', ipc: null, uts: null },
    init: null,
    network: null,
    torndown: false,
    cgroupParent: '',
    bootId: 'boot',
    ...changes,
  };
}
