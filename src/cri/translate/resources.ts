import type { LinuxResources } from '../../sandbox/types.ts';
import type {
  LinuxContainerResources,
  LinuxContainerResources__Output,
} from '../gen/runtime/v1/LinuxContainerResources.ts';
import { integer } from './fields.ts';

/** Cgroup limits of a request; null where it has none. */
export function linuxResources(message: LinuxContainerResources__Output | null): LinuxResources | null {
  if (message === null) return null;
  return {
    cpuPeriod: integer(message.cpu_period),
    cpuQuota: integer(message.cpu_quota),
    cpuShares: integer(message.cpu_shares),
    memoryLimitInBytes: integer(message.memory_limit_in_bytes),
    oomScoreAdj: integer(message.oom_score_adj),
    cpusetCpus: message.cpuset_cpus,
    cpusetMems: message.cpuset_mems,
    hugepageLimits: message.hugepage_limits.map((h) => ({
      pageSize: h.page_size,
      limit: integer(h.limit),
    })),
    unified: message.unified,
    memorySwapLimitInBytes: integer(message.memory_swap_limit_in_bytes),
  };
}

/** The message of limits in force. */
export function resourcesMessage(resources: LinuxResources | null): LinuxContainerResources | null {
  if (resources === null) return null;
  return {
    cpu_period: resources.cpuPeriod,
    cpu_quota: resources.cpuQuota,
    cpu_shares: resources.cpuShares,
    memory_limit_in_bytes: resources.memoryLimitInBytes,
    oom_score_adj: resources.oomScoreAdj,
    cpuset_cpus: resources.cpusetCpus,
    cpuset_mems: resources.cpusetMems,
    hugepage_limits: resources.hugepageLimits.map((h) => ({ page_size: h.pageSize, limit: h.limit })),
    unified: resources.unified,
    memory_swap_limit_in_bytes: resources.memorySwapLimitInBytes,
  };
}
