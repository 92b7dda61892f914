import type { SpecInput } from '../../../src/container/spec/input.ts';
import type { ContainerConfig, ContainerSecurity, Mount } from '../../../src/container/types.ts';
import type { ImageRunConfig } from '../../../src/image/types.ts';
import type { HostFacts } from '../../../src/os/host-facts.ts';
import type {
  LinuxResources,
  SandboxConfig,
  SandboxRow,
  SandboxSecurity,
} from '../../../src/sandbox/types.ts';

/** Domain values as CRI would give them with nothing set; each takes what a test is about. */

const NAMESPACES = { network: 'pod', pid: 'container', ipc: 'pod', targetId: '', userns: null } as const;

const SHARED_SECURITY = {
  namespaces: NAMESPACES,
  selinux: null,
  runAsUser: null,
  runAsGroup: null,
  readonlyRootfs: false,
  supplementalGroups: [],
  supplementalGroupsPolicy: 'merge',
  privileged: false,
  seccomp: null,
  apparmor: null,
} as const satisfies Partial<SandboxSecurity>;

export function security(change: Partial<ContainerSecurity> = {}): ContainerSecurity {
  return {
    ...SHARED_SECURITY,
    capabilities: null,
    runAsUsername: '',
    supplementalGroups: [],
    noNewPrivs: false,
    maskedPaths: [],
    readonlyPaths: [],
    ...change,
  };
}

export function containerConfig(change: Partial<ContainerConfig> = {}): ContainerConfig {
  return {
    metadata: { name: 'main', attempt: 0 },
    image: { image: 'busybox', annotations: {}, userSpecifiedImage: '', runtimeHandler: '', imageRef: '' },
    command: [],
    args: [],
    workingDir: '',
    envs: [],
    mounts: [],
    devices: [],
    cdiDevices: [],
    labels: {},
    annotations: {},
    logPath: '',
    stdin: false,
    stdinOnce: false,
    tty: false,
    resources: null,
    security: security(),
    stopSignal: '',
    ...change,
  };
}

export function mount(change: Partial<Mount>): Mount {
  return {
    containerPath: '/data',
    hostPath: '/tmp',
    readonly: false,
    recursiveReadonly: false,
    selinuxRelabel: false,
    propagation: 'private',
    uidMappings: [],
    gidMappings: [],
    image: null,
    imageSubPath: '',
    options: [],
    ...change,
  };
}

export function imageConfig(change: Partial<ImageRunConfig> = {}): ImageRunConfig {
  return {
    user: '',
    env: [],
    entrypoint: [],
    cmd: [],
    workingDir: '',
    volumes: [],
    stopSignal: '',
    labels: {},
    ...change,
  };
}

export function resources(change: Partial<LinuxResources> = {}): LinuxResources {
  return {
    cpuPeriod: 0,
    cpuQuota: 0,
    cpuShares: 0,
    memoryLimitInBytes: 0,
    oomScoreAdj: 0,
    cpusetCpus: '',
    cpusetMems: '',
    hugepageLimits: [],
    unified: {},
    memorySwapLimitInBytes: 0,
    ...change,
  };
}

export function sandboxConfig(change: Partial<SandboxConfig> = {}): SandboxConfig {
  return {
    metadata: { name: 'pod', uid: 'uid-1', namespace: 'default', attempt: 0 },
    hostname: 'pod-host',
    logDirectory: '',
    dns: null,
    portMappings: [],
    labels: {},
    annotations: {},
    cgroupParent: '',
    sysctls: {},
    security: { ...SHARED_SECURITY, supplementalGroups: [] },
    overhead: null,
    resources: null,
    ...change,
  };
}

export function privilegedSandbox(): SandboxConfig {
  return sandboxConfig({ security: { ...SHARED_SECURITY, supplementalGroups: [], privileged: true } });
}

export function sandboxRow(change: Partial<SandboxRow> = {}): SandboxRow {
  return {
    id: 'a'.repeat(64),
    config: sandboxConfig(),
    runtimeHandler: '',
    state: 'ready',
    createdAt: '1',
    stoppedAt: null,
    namespaces: { net: '/run/netns/skiff-a', ipc: '/run/skiff/ipc', uts: '/run/skiff/uts' },
    init: null,
    network: null,
    torndown: false,
    cgroupParent: '',
    bootId: 'boot',
    ...change,
  };
}

/** A host with all controllers and all capabilities up to CAP_CHECKPOINT_RESTORE. */
export function hostFacts(change: Partial<HostFacts> = {}): HostFacts {
  return {
    controllers: new Set(['cpu', 'cpuset', 'memory', 'pids', 'io', 'hugetlb']),
    cgroupV2: true,
    swapAccounting: true,
    cgroupMountOptions: [],
    oomScoreAdjFloor: -1000,
    capabilityMask: '1ffffffffff',
    seccomp: true,
    apparmor: false,
    selinux: false,
    ...change,
  };
}

export function specInput(change: Partial<SpecInput> = {}): SpecInput {
  return {
    id: 'c'.repeat(64),
    config: containerConfig({ command: ['sh'] }),
    sandbox: sandboxRow(),
    image: imageConfig(),
    user: { uid: 0, gid: 0, supplementalGroups: [0] },
    rootfs: '/rootfs',
    sandboxFiles: { resolvConf: '/s/resolv.conf', hosts: '/s/hosts', hostname: '/s/hostname', shm: '/s/shm' },
    cgroupsPath: '/pod/c',
    host: hostFacts(),
    features: {},
    unsetSeccompProfile: '',
    tolerateMissingControllers: false,
    targetPid: null,
    ...change,
  };
}
