/**
 * What a pod sandbox is, in the runtime's own terms. Field meanings are those of
 * the CRI messages PodSandboxConfig, PodSandbox and PodSandboxStatus
 * (k8s.io/cri-api runtime/v1); only cri/translate knows the messages themselves.
 * Everything here is plain JSON: it is stored as it stands.
 */

/** Whose namespace a process uses: the pod's, its own, the node's, or another container's. */
export type NamespaceMode = 'pod' | 'container' | 'node' | 'target';

export interface IdMapping {
  hostId: number;
  containerId: number;
  length: number;
}

export interface UserNamespaceOption {
  mode: NamespaceMode;
  uids: IdMapping[];
  gids: IdMapping[];
}

export interface NamespaceOptions {
  network: NamespaceMode;
  pid: NamespaceMode;
  ipc: NamespaceMode;
  /** Container id, only with pid = target. */
  targetId: string;
  userns: UserNamespaceOption | null;
}

export type ProfileType = 'runtime_default' | 'unconfined' | 'localhost';

/** A seccomp or AppArmor profile; `localhostRef` is an absolute path (seccomp) or a profile name (AppArmor). */
export interface SecurityProfile {
  type: ProfileType;
  localhostRef: string;
}

export interface SelinuxOptions {
  user: string;
  role: string;
  type: string;
  level: string;
}

export interface SandboxSecurity {
  namespaces: NamespaceOptions;
  selinux: SelinuxOptions | null;
  runAsUser: number | null;
  runAsGroup: number | null;
  readonlyRootfs: boolean;
  supplementalGroups: number[];
  supplementalGroupsPolicy: 'merge' | 'strict';
  privileged: boolean;
  seccomp: SecurityProfile | null;
  apparmor: SecurityProfile | null;
}

/** Cgroup limits of one container or pod; null = not given, as the CRI's zero. Bytes, microseconds, shares. */
export interface LinuxResources {
  cpuPeriod: number;
  cpuQuota: number;
  cpuShares: number;
  memoryLimitInBytes: number;
  oomScoreAdj: number;
  cpusetCpus: string;
  cpusetMems: string;
  hugepageLimits: { pageSize: string; limit: number }[];
  /** cgroup v2 file name -> value, written verbatim. */
  unified: Record<string, string>;
  memorySwapLimitInBytes: number;
}

export interface SandboxMetadata {
  name: string;
  uid: string;
  namespace: string;
  attempt: number;
}

export interface DnsConfig {
  servers: string[];
  searches: string[];
  options: string[];
}

export interface PortMapping {
  protocol: 'tcp' | 'udp' | 'sctp';
  containerPort: number;
  hostPort: number;
  hostIp: string;
}

export interface SandboxConfig {
  metadata: SandboxMetadata;
  hostname: string;
  logDirectory: string;
  dns: DnsConfig | null;
  portMappings: PortMapping[];
  labels: Record<string, string>;
  annotations: Record<string, string>;
  cgroupParent: string;
  sysctls: Record<string, string>;
  security: SandboxSecurity;
  overhead: LinuxResources | null;
  resources: LinuxResources | null;
}

/** What CNI gave the pod; stored so that DEL can be called with it after a restart. */
export interface SandboxNetwork {
  /** First address of the default interface, '' with host network. */
  ip: string;
  additionalIps: string[];
  /** The name of the CNI network (conflist) that was used. */
  networkName: string;
  /** Verbatim result of the last plugin, in the list's cniVersion. */
  result: unknown;
  /** The configuration that was used (CniNetworkList): DEL goes by it, whatever the directory holds by then. */
  conflist: unknown;
  /** Further networks of the pod, on eth1, eth2 and so on, where max_conf_num allows more than one. */
  more: { networkName: string; result: unknown; conflist: unknown }[];
}

/**
 * The stored row of a sandbox.
 *
 *   (none) --RunPodSandbox--> ready --StopPodSandbox, reboot--> notready --RemovePodSandbox--> (none)
 *
 * `initialized` is a sandbox whose RunPodSandbox has not ended: never listed, swept on recovery.
 */
export interface SandboxRow {
  id: string;
  config: SandboxConfig;
  /** '' = the default handler. */
  runtimeHandler: string;
  state: 'initialized' | 'ready' | 'notready';
  /** Nanoseconds since the epoch, as a decimal string: JSON numbers lose the last digits. */
  createdAt: string;
  stoppedAt: string | null;
  /** Pinned namespace files; null = the node's own. */
  namespaces: { net: string | null; ipc: string | null; uts: string | null };
  /** Init of a shared PID namespace. `startTime` is field 22 of /proc/PID/stat: guards against a reused pid. */
  init: { pid: number; startTime: string } | null;
  network: SandboxNetwork | null;
  /** Network torn down, namespaces unpinned: a second stop has nothing to do. */
  torndown: boolean;
  /** Cgroup of the pod's containers as runc takes it, '' = none. */
  cgroupParent: string;
  /** A fresh value at every boot (/proc/sys/kernel/random/boot_id). */
  bootId: string;
}
