import type { ContainerConfig, ContainerRow } from '../../../src/container/types.ts';
import type { ContainerConfig as ContainerConfigMessage } from '../../../src/cri/gen/runtime/v1/ContainerConfig.ts';
import type { PodSandboxConfig } from '../../../src/cri/gen/runtime/v1/PodSandboxConfig.ts';
import { message } from '../../../src/cri/proto.ts';
import { containerConfig } from '../../../src/cri/translate/container-config.ts';
import { sandboxConfig } from '../../../src/cri/translate/sandbox-config.ts';
import type { ImageRow } from '../../../src/image/types.ts';
import type { SandboxConfig, SandboxRow } from '../../../src/sandbox/types.ts';

/** The domain config of a message that went over the wire. */
export function readSandboxConfig(config: PodSandboxConfig): SandboxConfig {
  const type = message('PodSandboxConfig');
  return sandboxConfig(type.deserialize(type.serialize(config)));
}

export function readContainerConfig(config: ContainerConfigMessage): ContainerConfig {
  const type = message('ContainerConfig');
  return containerConfig(type.deserialize(type.serialize(config)));
}

export function sandboxRow(change: Partial<SandboxRow> = {}): SandboxRow {
  return {
    id: 'a'.repeat(64),
    config: readSandboxConfig({
      metadata: { name: 'web', uid: 'uid-1', namespace: 'default', attempt: 2 },
      labels: { app: 'web' },
      annotations: { note: 'ü' },
      linux: { security_context: { namespace_options: { pid: 'CONTAINER', network: 'NODE' } } },
    }),
    runtimeHandler: 'crun',
    state: 'ready',
    createdAt: '1700000000000000001',
    stoppedAt: null,
    namespaces: { net: null, ipc: null, uts: null },
    init: null,
    network: null,
    torndown: false,
    cgroupParent: '',
    bootId: 'boot',
    ...change,
  };
}

export function containerRow(change: Partial<ContainerRow> = {}): ContainerRow {
  return {
    id: 'b'.repeat(64),
    sandboxId: 'a'.repeat(64),
    config: readContainerConfig({
      metadata: { name: 'main', attempt: 1 },
      image: { image: 'busybox:1', user_specified_image: 'busybox', annotations: { k: 'v' } },
      labels: { app: 'web' },
      annotations: { note: 'n' },
      mounts: [{ container_path: '/c', host_path: '/h', propagation: 'PROPAGATION_BIDIRECTIONAL' }],
    }),
    pod: { name: 'web', namespace: 'default', uid: 'uid-1' },
    imageId: 'sha256:1',
    imageRef: 'sha256:1',
    runtimeHandler: '',
    createdAt: '1700000000000000001',
    startedAt: null,
    finishedAt: null,
    exitCode: 0,
    reason: '',
    message: '',
    pid: null,
    shim: null,
    logPath: '/var/log/pods/x/main/1.log',
    user: { uid: 1000, gid: 100, supplementalGroups: [5, 6] },
    resources: null,
    stopSignal: 'SIGRTMIN+3',
    rootfs: { lowers: [], upper: '', work: '', merged: '' },
    cgroupPath: '',
    ...change,
  };
}

export function imageRow(change: Partial<ImageRow> = {}): ImageRow {
  return {
    id: 'sha256:1',
    repoTags: ['docker.io/library/busybox:1'],
    repoDigests: [],
    size: 4_000_000_000,
    config: {
      user: '',
      env: ['PATH=/bin'],
      entrypoint: [],
      cmd: ['sh'],
      workingDir: '',
      volumes: ['/data'],
      stopSignal: '',
      labels: {},
    },
    diffIds: ['sha256:2'],
    architecture: 'amd64',
    os: 'linux',
    blobs: [],
    thin: null,
    pinned: false,
    pulledAt: '1700000000000000001',
    ...change,
  };
}
