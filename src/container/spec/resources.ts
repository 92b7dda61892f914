import { SkiffError } from '../../base/errors.ts';
import type { LinuxResources as OciResources } from '../../oci/runtime-spec.ts';
import type { HostFacts } from '../../os/host-facts.ts';
import type { LinuxResources } from '../../sandbox/types.ts';

/** Without limits of its own a process is as likely an OOM victim as any. */
const DEFAULT_OOM_SCORE_ADJ = 0;

type Host = Pick<HostFacts, 'controllers' | 'swapAccounting' | 'oomScoreAdjFloor'>;

interface Tolerance {
  /** Leave out what this host cannot give, with a warning, instead of refusing it. */
  tolerateMissingControllers: boolean;
}

/** Limits in OCI form without the device rules; `warnings` name what was left out, for the log. */
export interface OciLimits {
  resources: OciResources;
  warnings: string[];
}

/**
 * CRI limits as the OCI runtime takes them, for a spec and for its `update`
 * command. A limit whose cgroup controller this host lacks is refused, or left
 * out with a warning where that is tolerated.
 */
export function toOciResources(limits: LinuxResources | null, host: Host, tolerance: Tolerance): OciLimits {
  if (limits === null) return { resources: {}, warnings: [] };
  const gate = new ControllerGate(host.controllers, tolerance);
  const cpu = {
    ...gate.pass('cpu', 'cpu_shares', given({ shares: limits.cpuShares })),
    ...gate.pass('cpu', 'cpu_quota', given({ quota: limits.cpuQuota })),
    ...gate.pass('cpu', 'cpu_period', given({ period: limits.cpuPeriod })),
    ...gate.pass('cpuset', 'cpuset_cpus', given({ cpus: limits.cpusetCpus })),
    ...gate.pass('cpuset', 'cpuset_mems', given({ mems: limits.cpusetMems })),
  };
  const memory = gate.pass('memory', 'memory_limit_in_bytes', memoryOf(limits, host.swapAccounting));
  const hugepageLimits = gate.hugepages(limits);
  const unified = gate.unified(limits.unified);
  const resources: OciResources = {
    ...(isEmpty(cpu) ? {} : { cpu }),
    ...(isEmpty(memory) ? {} : { memory }),
    ...(hugepageLimits.length === 0 ? {} : { hugepageLimits }),
    ...(isEmpty(unified) ? {} : { unified }),
  };
  return { resources, warnings: gate.warnings };
}

/**
 * Limits after an UpdateContainerResources: what `update` leaves at zero or
 * empty stays, `unified` and huge pages are merged by their keys. A new memory
 * limit that says nothing of swap takes the swap limit along, because one that
 * is left below it would be refused by the kernel.
 */
export function mergeResources(current: LinuxResources | null, update: LinuxResources): LinuxResources {
  if (current === null) return { ...update };
  const pages = new Map(
    [...current.hugepageLimits, ...update.hugepageLimits].map((page) => [page.pageSize, page]),
  );
  return {
    cpuPeriod: update.cpuPeriod || current.cpuPeriod,
    cpuQuota: update.cpuQuota || current.cpuQuota,
    cpuShares: update.cpuShares || current.cpuShares,
    memoryLimitInBytes: update.memoryLimitInBytes || current.memoryLimitInBytes,
    memorySwapLimitInBytes:
      update.memoryLimitInBytes === 0
        ? update.memorySwapLimitInBytes || current.memorySwapLimitInBytes
        : update.memorySwapLimitInBytes,
    oomScoreAdj: update.oomScoreAdj || current.oomScoreAdj,
    cpusetCpus: update.cpusetCpus || current.cpusetCpus,
    cpusetMems: update.cpusetMems || current.cpusetMems,
    hugepageLimits: [...pages.values()],
    unified: { ...current.unified, ...update.unified },
  };
}

/**
 * The oom_score_adj of a container's processes. Always set: else they would
 * inherit that of the daemon, which is protected. Lowering it below this
 * process's own needs CAP_SYS_RESOURCE, so where that is tolerated the value
 * is raised to what can be had.
 */
export function oomScoreAdj(
  limits: LinuxResources | null,
  host: Host,
  tolerance: Tolerance,
): { value: number; warnings: string[] } {
  const floor = host.oomScoreAdjFloor;
  if (limits === null) return { value: Math.max(DEFAULT_OOM_SCORE_ADJ, floor), warnings: [] };
  const wanted = limits.oomScoreAdj;
  if (wanted >= floor || !tolerance.tolerateMissingControllers) return { value: wanted, warnings: [] };
  return {
    value: floor,
    warnings: [
      `oom_score_adj ${wanted} is below ${floor}, the lowest this daemon may give: ${floor} is used`,
    ],
  };
}

/** Lets a limit through where its controller is there; otherwise refuses it or notes that it was left out. */
class ControllerGate {
  readonly warnings: string[] = [];
  readonly #controllers: ReadonlySet<string>;
  readonly #tolerance: Tolerance;

  constructor(controllers: ReadonlySet<string>, tolerance: Tolerance) {
    this.#controllers = controllers;
    this.#tolerance = tolerance;
  }

  /** `fragment`, or nothing where it is empty or its controller missing. */
  pass<T extends object>(controller: string, field: string, fragment: T): Partial<T> {
    if (isEmpty(fragment) || this.#controllers.has(controller)) return fragment;
    this.#miss(controller, field);
    return {};
  }

  /** Keys of cgroup v2 files start with their controller; `cgroup.*` belongs to the core. */
  unified(entries: Record<string, string>): Record<string, string> {
    const kept = Object.entries(entries).filter(([file, value]) => {
      const controller = file.split('.', 1)[0] ?? '';
      return controller === 'cgroup' || !isEmpty(this.pass(controller, `unified["${file}"]`, { value }));
    });
    return Object.fromEntries(kept);
  }

  /**
   * The kubelet sends a limit of 0 for every page size that a pod does not use,
   * so without the controller only a limit that grants something is worth a word,
   * and no host is refused for it.
   */
  hugepages(limits: LinuxResources): { pageSize: string; limit: number }[] {
    if (this.#controllers.has('hugetlb')) return limits.hugepageLimits.map((page) => ({ ...page }));
    for (const { pageSize, limit } of limits.hugepageLimits)
      if (limit > 0) this.warnings.push(leftOut('hugetlb', `hugepage_limits[${pageSize}]`));
    return [];
  }

  #miss(controller: string, field: string): void {
    if (this.#tolerance.tolerateMissingControllers) {
      this.warnings.push(leftOut(controller, field));
      return;
    }
    throw new SkiffError(
      'failed_precondition',
      `set ${field}: this host has no cgroup v2 controller "${controller}"; enable it, or set tolerate_missing_controllers to run without limits`,
    );
  }
}

function leftOut(controller: string, field: string): string {
  return `${field} is left out: this host has no cgroup v2 controller "${controller}"`;
}

/** OCI counts swap together with memory, so a swap limit equal to the memory limit means no swap at all. */
function memoryOf(limits: LinuxResources, swapAccounting: boolean): { limit?: number; swap?: number } {
  const limit = limits.memoryLimitInBytes;
  const swap = limits.memorySwapLimitInBytes || limit;
  return { ...given({ limit }), ...(swapAccounting ? given({ swap }) : {}) };
}

/** Zero and '' are "not given" in CRI; a negative number (no limit) is a value. */
function given<T extends Record<string, number | string>>(fragment: T): Partial<T> {
  const value = Object.values(fragment)[0];
  return value === 0 || value === '' ? {} : fragment;
}

function isEmpty(fragment: object): boolean {
  return Object.keys(fragment).length === 0;
}
