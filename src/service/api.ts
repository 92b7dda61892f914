/**
 * The hall as its doors see it: one function per CRI call, in domain terms.
 * cri/ translates messages to these and back, ops/ calls some of them too;
 * daemon.ts builds the object. Every function rejects with a SkiffError whose
 * code is the gRPC status to answer. `signal` is aborted when the caller goes
 * away or its deadline passes.
 */
import type { ContainerConfig, ContainerRow, ContainerState } from '../container/types.ts';
import type { CheckEvent } from '../image/check.ts';
import type { ImagesUsage, LayerUse } from '../image/du.ts';
import type { Packing } from '../image/layer/protocol.ts';
import type { AuthConfig, FilesystemUsage, ImageRow, PullProgress } from '../image/types.ts';
import type { LinuxResources, SandboxConfig, SandboxRow } from '../sandbox/types.ts';

export interface CallContext {
  signal: AbortSignal;
}

export interface SandboxFilter {
  /** An id or a unique prefix of one, '' = any. */
  id: string;
  state: 'ready' | 'notready' | null;
  labels: Record<string, string>;
}

export interface ContainerFilter {
  id: string;
  state: ContainerState | null;
  podSandboxId: string;
  labels: Record<string, string>;
}

/** A container as a status shows it; `row.config` and times say the rest. */
export interface ContainerView {
  row: ContainerRow;
  state: ContainerState;
}

export interface SandboxStatus {
  row: SandboxRow;
  containers: ContainerView[];
  /** Instant of this answer, ns since the epoch, decimal. */
  timestamp: string;
  /** Verbose facts, null unless asked for. */
  info: Record<string, unknown> | null;
}

export interface ContainerStatus extends ContainerView {
  info: Record<string, unknown> | null;
}

export interface ExecResult {
  stdout: Buffer;
  stderr: Buffer;
  exitCode: number;
}

export interface RuntimeCondition {
  type: string;
  status: boolean;
  reason: string;
  message: string;
}

export interface RuntimeHandlerInfo {
  /** '' = the default handler, listed beside its own name. */
  name: string;
  recursiveReadonlyMounts: boolean;
  userNamespaces: boolean;
}

export interface RuntimeStatus {
  conditions: RuntimeCondition[];
  handlers: RuntimeHandlerInfo[];
  supplementalGroupsPolicy: boolean;
  info: Record<string, unknown> | null;
}

/** Pressure stall information of one resource (Documentation/accounting/psi.rst); totals in ns, averages in percent. */
export interface PsiData {
  total: string;
  avg10: number;
  avg60: number;
  avg300: number;
}
export interface Psi {
  some: PsiData;
  full: PsiData;
}

export interface CpuUsage {
  timestamp: string;
  usageCoreNanoSeconds: string;
  /** null until two samples are known. */
  usageNanoCores: string | null;
  psi: Psi | null;
}

/** Bytes; null = the kernel of this host does not tell. */
export interface MemoryUsage {
  timestamp: string;
  workingSetBytes: number | null;
  availableBytes: number | null;
  usageBytes: number | null;
  rssBytes: number | null;
  pageFaults: number | null;
  majorPageFaults: number | null;
  psi: Psi | null;
}

export interface SwapUsage {
  timestamp: string;
  availableBytes: number | null;
  usageBytes: number | null;
}

export interface IoUsage {
  timestamp: string;
  psi: Psi | null;
}

export interface InterfaceUsage {
  name: string;
  rxBytes: string;
  rxErrors: string;
  txBytes: string;
  txErrors: string;
}

export interface ContainerStats {
  row: ContainerRow;
  cpu: CpuUsage | null;
  memory: MemoryUsage | null;
  swap: SwapUsage | null;
  io: IoUsage | null;
  writableLayer: FilesystemUsage | null;
}

export interface SandboxStats {
  row: SandboxRow;
  cpu: CpuUsage | null;
  memory: MemoryUsage | null;
  io: IoUsage | null;
  network: {
    timestamp: string;
    defaultInterface: InterfaceUsage | null;
    interfaces: InterfaceUsage[];
  } | null;
  processCount: number | null;
  containers: ContainerStats[];
}

export interface ContainerEvent {
  containerId: string;
  type: 'created' | 'started' | 'stopped' | 'deleted';
  /** ns since the epoch, decimal. */
  createdAt: string;
  sandbox: SandboxRow;
  containers: ContainerView[];
}

/** Limits of a pod as a whole: what its containers sum up to, and what the pod costs besides. */
export type PodResources = Pick<SandboxConfig, 'overhead' | 'resources'>;

export interface ImageFsInfo {
  imageFilesystems: FilesystemUsage[];
  containerFilesystems: FilesystemUsage[];
}

export interface RuntimeApi {
  version(): { runtimeName: string; runtimeVersion: string };
  status(verbose: boolean): Promise<RuntimeStatus>;
  runtimeConfig(): { cgroupDriver: 'systemd' | 'cgroupfs' };
  /** `podCidr`: one CIDR or "v4,v6"; '' = nothing to change. */
  updateRuntimeConfig(podCidr: string): Promise<void>;

  runPodSandbox(call: CallContext, config: SandboxConfig, runtimeHandler: string): Promise<string>;
  stopPodSandbox(call: CallContext, id: string): Promise<void>;
  removePodSandbox(call: CallContext, id: string): Promise<void>;
  podSandboxStatus(id: string, verbose: boolean): Promise<SandboxStatus>;
  /** From memory, at once. Oldest first. */
  listPodSandbox(filter: SandboxFilter): SandboxRow[];

  /**
   * What the kubelet tells of the pod's limits, whose cgroup it writes itself: kept with the sandbox for who
   * asks. null = stays as it is.
   */
  updatePodSandboxResources(call: CallContext, id: string, change: PodResources): Promise<void>;

  createContainer(
    call: CallContext,
    sandboxId: string,
    config: ContainerConfig,
    sandboxConfig: SandboxConfig | null,
  ): Promise<string>;
  startContainer(call: CallContext, id: string): Promise<void>;
  /** `timeout` in seconds, 0 = kill at once. */
  stopContainer(call: CallContext, id: string, timeout: number): Promise<void>;
  removeContainer(call: CallContext, id: string): Promise<void>;
  containerStatus(id: string, verbose: boolean): Promise<ContainerStatus>;
  /** From memory, at once. Oldest first. */
  listContainers(filter: ContainerFilter): ContainerRow[];
  updateContainerResources(
    call: CallContext,
    id: string,
    resources: LinuxResources | null,
    annotations: Record<string, string>,
  ): Promise<void>;
  reopenContainerLog(id: string): Promise<void>;
  /** `timeout` in seconds, 0 = none. */
  execSync(call: CallContext, id: string, cmd: string[], timeout: number): Promise<ExecResult>;

  containerStats(id: string): Promise<ContainerStats>;
  listContainerStats(filter: ContainerFilter): Promise<ContainerStats[]>;
  podSandboxStats(id: string): Promise<SandboxStats>;
  listPodSandboxStats(filter: SandboxFilter): Promise<SandboxStats[]>;
  /** Events from now on, until `signal` aborts. */
  containerEvents(signal: AbortSignal): AsyncIterable<ContainerEvent>;
}

export interface ImageApi {
  /** `image` '' = all; else the image that the reference names. */
  listImages(image: string): ImageRow[];
  /** Undefined where there is none. */
  imageStatus(image: string): ImageRow | undefined;
  /** The image id. `progress` gets events while it goes on; a call for the same image that is under way is joined. */
  pullImage(
    call: CallContext,
    image: string,
    auth: AuthConfig | null,
    progress?: (event: PullProgress) => void,
  ): Promise<string>;
  removeImage(image: string): Promise<void>;
  imageFsInfo(): Promise<ImageFsInfo>;
}

/** What takes the space that ImageFsInfo tells, and who holds it. */
export interface ImageStoreUsage extends Omit<ImagesUsage, 'layers'> {
  /** `containers`: ids of those whose root file system has the layer. */
  layers: (LayerUse & { containers: string[] })[];
}

/** Where an export goes; `path` is absolute and not there yet. */
export interface ImageExport {
  images: string[];
  path: string;
  /** An OCI layout as a directory, or as one archive that `docker load` takes, too. */
  form: 'directory' | 'archive';
  packing: Packing;
}

/** What can be done with stored images that CRI has no call for. Paths are those of the daemon's host. */
export interface ImageStoreApi {
  usage(): ImageStoreUsage;
  /** Everything on disk against its digests; `repair` fetches again what is damaged and no container uses. */
  check(call: CallContext, options: { repair: boolean }): AsyncIterable<CheckEvent>;
  export(call: CallContext, options: ImageExport): Promise<void>;
  /** Ids of the images of an OCI layout or a `docker save` archive; `name` for what has none there, '' = none. */
  import(
    call: CallContext,
    options: { path: string; name: string },
    progress: (event: PullProgress) => void,
  ): Promise<string[]>;
}
