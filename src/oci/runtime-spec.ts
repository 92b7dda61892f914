/**
 * The OCI runtime specification 1.2 as far as a Linux container needs it
 * (config.md, config-linux.md, features.md of opencontainers/runtime-spec).
 * Field names are those of the JSON, so a value of these types is the document.
 */

/** `config.json` of a bundle. */
export interface Spec {
  ociVersion: string;
  root: { path: string; readonly: boolean };
  process: Process;
  /** Only with a UTS namespace of the container's own. */
  hostname?: string;
  mounts: SpecMount[];
  annotations?: Record<string, string>;
  linux: Linux;
}

/** A process of a container: its init, or what `exec --process` takes. */
export interface Process {
  terminal?: boolean;
  consoleSize?: { height: number; width: number };
  user: User;
  args: string[];
  /** `KEY=value` each. */
  env: string[];
  /** Absolute path inside the root. */
  cwd: string;
  capabilities?: CapabilitySets;
  rlimits?: { type: string; soft: number; hard: number }[];
  noNewPrivileges: boolean;
  apparmorProfile?: string;
  selinuxLabel?: string;
  oomScoreAdj?: number;
}

export interface User {
  uid: number;
  gid: number;
  umask?: number;
  additionalGids?: number[];
}

/** Names with the `CAP_` prefix; an absent set is empty. */
export interface CapabilitySets {
  bounding?: string[];
  effective?: string[];
  permitted?: string[];
  inheritable?: string[];
  ambient?: string[];
}

/** One entry of `mounts`; `options` are those of mount(8) and of config.md#linux-mount-options. */
export interface SpecMount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

export type NamespaceType = 'pid' | 'network' | 'mount' | 'ipc' | 'uts' | 'user' | 'cgroup' | 'time';

/** Without `path` a new namespace is made. */
export interface Namespace {
  type: NamespaceType;
  path?: string;
}

export interface Linux {
  namespaces: Namespace[];
  devices?: LinuxDevice[];
  cgroupsPath: string;
  resources: LinuxResources;
  seccomp?: Seccomp;
  rootfsPropagation?: 'shared' | 'slave' | 'private' | 'rshared' | 'rslave' | 'rprivate' | 'unbindable';
  maskedPaths: string[];
  readonlyPaths: string[];
  mountLabel?: string;
  sysctl?: Record<string, string>;
}

/** A device node to make in the container's /dev. */
export interface LinuxDevice {
  path: string;
  type: 'b' | 'c' | 'p' | 'u';
  major: number;
  minor: number;
  /** Permission bits of the node. */
  fileMode: number;
  uid: number;
  gid: number;
}

/** A rule of the device cgroup; an absent type, major or minor matches all. */
export interface DeviceRule {
  allow: boolean;
  type?: 'a' | 'b' | 'c';
  major?: number;
  minor?: number;
  /** Subset of "rwm". */
  access: string;
}

/** Also the document that `update --resources` takes. Bytes, microseconds, shares. */
export interface LinuxResources {
  devices?: DeviceRule[];
  memory?: { limit?: number; swap?: number; reservation?: number };
  cpu?: { shares?: number; quota?: number; period?: number; cpus?: string; mems?: string };
  pids?: { limit: number };
  hugepageLimits?: { pageSize: string; limit: number }[];
  /** cgroup v2 file -> value, written as it stands. */
  unified?: Record<string, string>;
}

export const SECCOMP_ACTIONS = [
  'SCMP_ACT_KILL',
  'SCMP_ACT_KILL_PROCESS',
  'SCMP_ACT_KILL_THREAD',
  'SCMP_ACT_TRAP',
  'SCMP_ACT_ERRNO',
  'SCMP_ACT_TRACE',
  'SCMP_ACT_ALLOW',
  'SCMP_ACT_LOG',
  'SCMP_ACT_NOTIFY',
] as const;
export type SeccompAction = (typeof SECCOMP_ACTIONS)[number];

export const SECCOMP_OPERATORS = [
  'SCMP_CMP_NE',
  'SCMP_CMP_LT',
  'SCMP_CMP_LE',
  'SCMP_CMP_EQ',
  'SCMP_CMP_GE',
  'SCMP_CMP_GT',
  'SCMP_CMP_MASKED_EQ',
] as const;
export type SeccompOperator = (typeof SECCOMP_OPERATORS)[number];

/** config-linux.md#seccomp. */
export interface Seccomp {
  defaultAction: SeccompAction;
  defaultErrnoRet?: number;
  architectures?: string[];
  flags?: string[];
  listenerPath?: string;
  listenerMetadata?: string;
  syscalls?: SeccompSyscall[];
}

export interface SeccompSyscall {
  names: string[];
  action: SeccompAction;
  errnoRet?: number;
  args?: SeccompArgument[];
}

/** With `SCMP_CMP_MASKED_EQ`, `value` is the mask and `valueTwo` what must remain. */
export interface SeccompArgument {
  index: number;
  value: number;
  valueTwo?: number;
  op: SeccompOperator;
}

/** What `<runtime> features` prints (features.md); a runtime without that command has an empty one. */
export interface RuntimeFeatures {
  ociVersionMin?: string;
  ociVersionMax?: string;
  hooks?: string[];
  /** Among them `rro` where recursive read-only mounts work. */
  mountOptions?: string[];
  linux?: {
    namespaces?: string[];
    capabilities?: string[];
    cgroup?: { v1?: boolean; v2?: boolean; systemd?: boolean; systemdUser?: boolean; rdma?: boolean };
    seccomp?: {
      enabled?: boolean;
      actions?: string[];
      operators?: string[];
      archs?: string[];
      knownFlags?: string[];
      supportedFlags?: string[];
    };
    apparmor?: { enabled?: boolean };
    selinux?: { enabled?: boolean };
    intelRdt?: { enabled?: boolean };
    mountExtensions?: { idmap?: { enabled?: boolean } };
  };
  annotations?: Record<string, string>;
  potentiallyUnsafeConfigAnnotations?: string[];
}
