import type { FilesystemUsage } from '../../image/types.ts';
import type {
  ContainerStats,
  CpuUsage,
  InterfaceUsage,
  MemoryUsage,
  Psi,
  PsiData,
  SandboxStats,
} from '../../service/api.ts';
import type { ContainerStats as ContainerStatsMessage } from '../gen/runtime/v1/ContainerStats.ts';
import type { CpuUsage as CpuUsageMessage } from '../gen/runtime/v1/CpuUsage.ts';
import type { FilesystemUsage as FilesystemUsageMessage } from '../gen/runtime/v1/FilesystemUsage.ts';
import type { IoUsage as IoUsageMessage } from '../gen/runtime/v1/IoUsage.ts';
import type { MemoryUsage as MemoryUsageMessage } from '../gen/runtime/v1/MemoryUsage.ts';
import type { NetworkInterfaceUsage } from '../gen/runtime/v1/NetworkInterfaceUsage.ts';
import type { PodSandboxStats } from '../gen/runtime/v1/PodSandboxStats.ts';
import type { PsiData as PsiDataMessage } from '../gen/runtime/v1/PsiData.ts';
import type { PsiStats } from '../gen/runtime/v1/PsiStats.ts';
import { wrap } from './fields.ts';
import { sandboxMetadataMessage } from './sandbox-config.ts';

/** What is not known stays absent: a zero would be taken for a measure. */
export function containerStats(stats: ContainerStats): ContainerStatsMessage {
  const { row, swap } = stats;
  return {
    attributes: {
      id: row.id,
      metadata: row.config.metadata,
      labels: row.config.labels,
      annotations: row.config.annotations,
    },
    cpu: cpu(stats.cpu),
    memory: memory(stats.memory),
    writable_layer: stats.writableLayer && filesystemUsage(stats.writableLayer),
    swap: swap && {
      timestamp: swap.timestamp,
      swap_available_bytes: wrap(swap.availableBytes),
      swap_usage_bytes: wrap(swap.usageBytes),
    },
    io: io(stats.io),
  };
}

export function sandboxStats(stats: SandboxStats): PodSandboxStats {
  const { row, network } = stats;
  return {
    attributes: {
      id: row.id,
      metadata: sandboxMetadataMessage(row.config.metadata),
      labels: row.config.labels,
      annotations: row.config.annotations,
    },
    linux: {
      cpu: cpu(stats.cpu),
      memory: memory(stats.memory),
      network: network && {
        timestamp: network.timestamp,
        default_interface: network.defaultInterface && interfaceUsage(network.defaultInterface),
        interfaces: network.interfaces.map(interfaceUsage),
      },
      process:
        stats.processCount === null
          ? null
          : {
              timestamp: stats.cpu?.timestamp ?? network?.timestamp ?? '0',
              process_count: wrap(stats.processCount),
            },
      containers: stats.containers.map(containerStats),
      io: io(stats.io),
    },
  };
}

export function filesystemUsage(usage: FilesystemUsage): FilesystemUsageMessage {
  return {
    timestamp: usage.timestamp,
    fs_id: { mountpoint: usage.mountpoint },
    used_bytes: wrap(usage.usedBytes),
    inodes_used: wrap(usage.inodesUsed),
  };
}

function cpu(usage: CpuUsage | null): CpuUsageMessage | null {
  return (
    usage && {
      timestamp: usage.timestamp,
      usage_core_nano_seconds: wrap(usage.usageCoreNanoSeconds),
      usage_nano_cores: wrap(usage.usageNanoCores),
      psi: psi(usage.psi),
    }
  );
}

function memory(usage: MemoryUsage | null): MemoryUsageMessage | null {
  return (
    usage && {
      timestamp: usage.timestamp,
      working_set_bytes: wrap(usage.workingSetBytes),
      available_bytes: wrap(usage.availableBytes),
      usage_bytes: wrap(usage.usageBytes),
      rss_bytes: wrap(usage.rssBytes),
      page_faults: wrap(usage.pageFaults),
      major_page_faults: wrap(usage.majorPageFaults),
      psi: psi(usage.psi),
    }
  );
}

function io(usage: ContainerStats['io']): IoUsageMessage | null {
  return usage && { timestamp: usage.timestamp, psi: psi(usage.psi) };
}

function psi(pressure: Psi | null): PsiStats | null {
  return pressure && { Full: psiData(pressure.full), Some: psiData(pressure.some) };
}

function psiData(data: PsiData): PsiDataMessage {
  return { Total: data.total, Avg10: data.avg10, Avg60: data.avg60, Avg300: data.avg300 };
}

function interfaceUsage(usage: InterfaceUsage): NetworkInterfaceUsage {
  return {
    name: usage.name,
    rx_bytes: wrap(usage.rxBytes),
    rx_errors: wrap(usage.rxErrors),
    tx_bytes: wrap(usage.txBytes),
    tx_errors: wrap(usage.txErrors),
  };
}
