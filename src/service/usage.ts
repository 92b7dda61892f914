import { nowNs } from '../base/clock.ts';
import {
  type CgroupMemory,
  type Pressure,
  readCpu,
  readMemory,
  readPids,
  readPsi,
} from '../os/cgroup-stats.ts';
import type { CpuUsage, IoUsage, MemoryUsage, Psi, SwapUsage } from './api.ts';
import type { CpuRates } from './cpu-rates.ts';

/** What one cgroup uses now; null = there is no such cgroup, or the kernel does not tell. */
export interface CgroupUsage {
  cpu: CpuUsage | null;
  memory: MemoryUsage | null;
  swap: SwapUsage | null;
  io: IoUsage | null;
  processCount: number | null;
}

/** Reads the cgroup at `path` and notes its CPU time in `rates`. */
export async function cgroupUsage(path: string, rates: CpuRates): Promise<CgroupUsage> {
  const [cpu, memory, memoryPressure, io, processCount] = await Promise.all([
    cpuUsage(path, rates),
    readMemory(path),
    readPsi(path, 'memory'),
    readPsi(path, 'io'),
    readPids(path),
  ]);
  return {
    cpu,
    memory: memoryUsage(memory, psi(memoryPressure)),
    swap: swapUsage(memory),
    io: io === null ? null : { timestamp: nowNs(), psi: psi(io) },
    processCount,
  };
}

/** CPU alone, for the samples between two questions. */
export async function cpuUsage(path: string, rates: CpuRates): Promise<CpuUsage | null> {
  const { usageNs } = await readCpu(path);
  if (usageNs === null) return null;
  // Rate and time belong to this very instant, not to one after further reads.
  const rate = rates.sample(path, usageNs);
  const timestamp = nowNs();
  return {
    timestamp,
    usageCoreNanoSeconds: usageNs.toString(),
    usageNanoCores: rate === null ? null : rate.toString(),
    psi: psi(await readPsi(path, 'cpu')),
  };
}

/**
 * The use of several cgroups as one, of the instant of the newest of them; none
 * at all use nothing. What no one tells stays null.
 */
export function sumUsage(parts: CgroupUsage[]): CgroupUsage {
  const cpus = parts.flatMap(({ cpu }) => cpu ?? []);
  const memories = parts.flatMap(({ memory }) => memory ?? []);
  const rates = cpus.map(({ usageNanoCores }) => usageNanoCores);
  const memory = (key: Exclude<keyof MemoryUsage, 'timestamp' | 'psi'>) =>
    sumKnown(memories.map((usage) => usage[key]));
  return {
    cpu: {
      timestamp: newest(cpus),
      usageCoreNanoSeconds: sumBig(cpus.map(({ usageCoreNanoSeconds }) => usageCoreNanoSeconds)),
      usageNanoCores: rates.every((rate) => rate !== null) ? sumBig(rates) : null,
      psi: null,
    },
    memory: {
      timestamp: newest(memories),
      workingSetBytes: memory('workingSetBytes'),
      // What is left below several limits is no sum of what is left below each.
      availableBytes: null,
      usageBytes: memory('usageBytes'),
      rssBytes: memory('rssBytes'),
      pageFaults: memory('pageFaults'),
      majorPageFaults: memory('majorPageFaults'),
      psi: null,
    },
    swap: null,
    io: null,
    processCount: parts.reduce((total, { processCount }) => total + (processCount ?? 0), 0),
  };
}

function memoryUsage(memory: CgroupMemory, pressure: Psi | null): MemoryUsage | null {
  const { workingSetBytes, availableBytes, usageBytes, rssBytes, pageFaults, majorPageFaults } = memory;
  if (usageBytes === null && rssBytes === null) return null;
  const known = { workingSetBytes, availableBytes, usageBytes, rssBytes, pageFaults, majorPageFaults };
  return { timestamp: nowNs(), ...known, psi: pressure };
}

function swapUsage({ swapBytes, swapLimitBytes }: CgroupMemory): SwapUsage | null {
  if (swapBytes === null) return null;
  const availableBytes = swapLimitBytes === null ? null : Math.max(0, swapLimitBytes - swapBytes);
  return { timestamp: nowNs(), availableBytes, usageBytes: swapBytes };
}

/** The kernel counts microseconds, CRI nanoseconds. */
function psi(pressure: Pressure | null): Psi | null {
  if (pressure === null) return null;
  const data = ({ avg10, avg60, avg300, totalUs }: Pressure['some']) => ({
    total: (totalUs * 1000n).toString(),
    avg10,
    avg60,
    avg300,
  });
  return { some: data(pressure.some), full: data(pressure.full) };
}

function sumKnown(values: (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
}

/** The samples may be up to a second old, and a client divides by the difference of their times. */
function newest(usages: { timestamp: string }[]): string {
  const times = usages.map(({ timestamp }) => BigInt(timestamp)).sort((a, b) => Number(a - b));
  return (times.at(-1) ?? nowNs()).toString();
}

function sumBig(values: string[]): string {
  return values.reduce((total, value) => total + BigInt(value), 0n).toString();
}
