import type { SkiffError } from '../base/errors.ts';
import type { Inflight } from '../base/inflight.ts';
import type { Log } from '../base/log.ts';
import type { Rows } from '../base/rows.ts';
import type { ContainerRow } from '../container/types.ts';
import type { Images } from '../image/images.ts';
import type { CgroupDriver } from '../os/cgroup.ts';
import type { Cni } from '../os/cni/cni.ts';
import type { HostFacts } from '../os/host-facts.ts';
import type { OciRuntime } from '../os/oci-runtime.ts';
import type { SandboxRow } from '../sandbox/types.ts';
import type { Events } from './events.ts';
import type { ExecSync } from './exec-sync.ts';
import type { LayerHolds } from './layer-holds.ts';
import type { Layout } from './layout.ts';
import type { Operations } from './operations.ts';
import type { Running } from './running.ts';
import type { Stats } from './stats.ts';

/** The settings that the hall reads; reload replaces the object, so read it at the time of use. */
export interface HallOptions {
  cgroupDriver: CgroupDriver;
  tolerateMissingControllers: boolean;
  absentMountSourcesToReject: string[];
  unsetSeccompProfile: string;
  maxLogLineSize: number;
  /** How long a killed process may take to end. */
  killTimeoutMs: number;
  /** Sysctls that a pod with a network of its own gets unless it says otherwise. */
  defaultSysctls: Record<string, string>;
}

/** What the use cases work with; each takes the few members that it names. */
export interface Hall {
  options: HallOptions;
  layout: Layout;
  bootId: string;
  host: HostFacts;
  log: Log;
  sandboxes: Rows<SandboxRow>;
  containers: Rows<ContainerRow>;
  images: Images;
  holds: LayerHolds;
  cni: Cni;
  /** Handlers by name; '' is the default one. */
  runtimes: ReadonlyMap<string, OciRuntime>;
  running: Running;
  events: Events;
  operations: Operations;
  /** Changes of one sandbox or container under way, by what they do and to whom. */
  calls: { run: Inflight<string>; change: Inflight<void> };
  exec: ExecSync;
  stats: Stats;
  /** Why the runtime is not ready, undefined where it is. */
  trouble: () => SkiffError | undefined;
}
