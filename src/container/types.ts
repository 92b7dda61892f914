import type {
  IdMapping,
  LinuxResources,
  NamespaceOptions,
  SecurityProfile,
  SelinuxOptions,
} from '../sandbox/types.ts';

/**
 * What a container is, in the runtime's own terms. Field meanings are those of
 * the CRI messages ContainerConfig and ContainerStatus (k8s.io/cri-api
 * runtime/v1). Everything here is plain JSON: it is stored as it stands.
 */

export interface ContainerMetadata {
  name: string;
  attempt: number;
}

/** `image` is what the caller named: id, tag or digest. `userSpecifiedImage` is the pod spec's own text. */
export interface ImageSpec {
  image: string;
  annotations: Record<string, string>;
  userSpecifiedImage: string;
  runtimeHandler: string;
  /** What a PullImage for it returned; '' = not given. */
  imageRef: string;
}

export interface Mount {
  containerPath: string;
  hostPath: string;
  readonly: boolean;
  recursiveReadonly: boolean;
  selinuxRelabel: boolean;
  propagation: 'private' | 'host_to_container' | 'bidirectional';
  uidMappings: IdMapping[];
  gidMappings: IdMapping[];
  /** Set for an image volume; hostPath is then ''. */
  image: ImageSpec | null;
  imageSubPath: string;
  /** Options for the mount by the names of mount(8). */
  options: string[];
}

export interface Device {
  containerPath: string;
  hostPath: string;
  /** Subset of "rwm". */
  permissions: string;
}

export interface Capabilities {
  add: string[];
  drop: string[];
  addAmbient: string[];
}

export interface ContainerSecurity {
  capabilities: Capabilities | null;
  privileged: boolean;
  namespaces: NamespaceOptions;
  selinux: SelinuxOptions | null;
  runAsUser: number | null;
  runAsGroup: number | null;
  runAsUsername: string;
  readonlyRootfs: boolean;
  supplementalGroups: number[];
  supplementalGroupsPolicy: 'merge' | 'strict';
  noNewPrivs: boolean;
  maskedPaths: string[];
  readonlyPaths: string[];
  seccomp: SecurityProfile | null;
  apparmor: SecurityProfile | null;
}

export interface ContainerConfig {
  metadata: ContainerMetadata;
  image: ImageSpec;
  command: string[];
  args: string[];
  workingDir: string;
  envs: { key: string; value: string }[];
  mounts: Mount[];
  devices: Device[];
  /** Fully qualified names of the Container Device Interface. */
  cdiDevices: string[];
  labels: Record<string, string>;
  annotations: Record<string, string>;
  /** Relative to the sandbox's log directory; '' = no log. */
  logPath: string;
  stdin: boolean;
  stdinOnce: boolean;
  tty: boolean;
  resources: LinuxResources | null;
  security: ContainerSecurity;
  /** 'SIGTERM', '' = the image's or the default. */
  stopSignal: string;
}

/** Who a process runs as, after names were looked up in the image. */
export interface ContainerUser {
  uid: number;
  gid: number;
  supplementalGroups: number[];
}

/**
 * The stored row of a container. Its state is derived from the times, never stored:
 *
 *   created --StartContainer--> running --exit--> exited --RemoveContainer--> (none)
 *      \--------------start fails (128, StartError)--^
 *
 * `finishedAt` set = exited; else `startedAt` set = running; else created.
 * A container whose shim is gone and left no exit file is exited with 255 and reason `Unknown`.
 * The row is written when CreateContainer ends; directories without a row are swept on recovery.
 */
export interface ContainerRow {
  id: string;
  sandboxId: string;
  config: ContainerConfig;
  /** Pod name, namespace and uid, for the name reservation and for logs. */
  pod: { name: string; namespace: string; uid: string };
  /** Id of the image (`sha256:<config digest>`) and the reference by which PullImage knows it. */
  imageId: string;
  imageRef: string;
  runtimeHandler: string;
  /** Nanoseconds since the epoch, decimal strings. */
  createdAt: string;
  startedAt: string | null;
  finishedAt: string | null;
  exitCode: number;
  /** `Completed`, `Error`, `OOMKilled`, `StartError`, `Unknown` or ''. */
  reason: string;
  message: string;
  /** Init and shim while running. */
  pid: number | null;
  shim: { pid: number; startTime: string } | null;
  /** Absolute path of the log, '' = none. */
  logPath: string;
  user: ContainerUser;
  /** Resources in force: those of the config, then of UpdateContainerResources. */
  resources: LinuxResources | null;
  stopSignal: string;
  /** Layer directories from the top down, and the thin directory of the container itself. */
  rootfs: { lowers: string[]; upper: string; work: string; merged: string };
  cgroupPath: string;
}

export type ContainerState = 'created' | 'running' | 'exited' | 'unknown';

/** The state of a row: derived, as the diagram above says. */
export function stateOf(row: ContainerRow): ContainerState {
  if (row.finishedAt !== null) return 'exited';
  return row.startedAt !== null ? 'running' : 'created';
}
