import { mapBounded } from '../base/bounded.ts';
import { nowNs } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { ContainerRow } from '../container/types.ts';
import { parentDirectory } from '../os/cgroup.ts';
import { native } from '../os/native.ts';
import type { SandboxRow } from '../sandbox/types.ts';
import type { ContainerStats, InterfaceUsage, SandboxStats } from './api.ts';
import { CpuRates } from './cpu-rates.ts';
import { LayerUsage } from './layer-usage.ts';
import { type CgroupUsage, cgroupUsage, cpuUsage, sumUsage } from './usage.ts';

/** A result serves all who ask within this time. */
const FRESH_MS = 1000;
/** How long after the last question CPU goes on being sampled, so that the next one has a rate at once. */
const INTEREST_MS = 120_000;
/** Cgroups and namespaces that are read at once. */
const READERS = 16;
const DEFAULT_INTERFACE = 'eth0';

interface Reading {
  at: number;
  usage: Promise<CgroupUsage>;
}

/** `stateRoot` names the file system of the writable layers, as ImageFsInfo does. Read at each use: a getter may change the period. */
export interface StatsOptions {
  collectPeriodMs: number;
  stateRoot: string;
}

/**
 * Statistics of containers and pods. Each cgroup is read once per second at
 * most, however many ask; nothing is read while nobody asks, but for CPU
 * samples in the two minutes after a question.
 */
export class Stats {
  readonly #options: StatsOptions;
  readonly #log: Log;
  readonly #rates = new CpuRates();
  readonly #layers: LayerUsage;
  /** By cgroup path. */
  readonly #readings = new Map<string, Reading>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: StatsOptions, deps: { log: Log }) {
    this.#options = options;
    this.#log = deps.log;
    const layers = {
      mountpoint: options.stateRoot,
      get collectPeriodMs() {
        return options.collectPeriodMs;
      },
    };
    this.#layers = new LayerUsage(layers, deps);
  }

  /** Ends the sampling in the background. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async containerStats(row: ContainerRow): Promise<ContainerStats> {
    const [{ cpu, memory, swap, io }, writableLayer] = await Promise.all([
      this.#usage(row.cgroupPath),
      this.#layers.of(row.rootfs.upper),
    ]);
    return { row, cpu, memory, swap, io, writableLayer };
  }

  listContainerStats(rows: ContainerRow[]): Promise<ContainerStats[]> {
    return mapBounded(rows, READERS, (row) => this.containerStats(row));
  }

  /** `containers` are those of the sandbox; running ones are shown. */
  async podSandboxStats(row: SandboxRow, containers: ContainerRow[]): Promise<SandboxStats> {
    const running = containers.filter(
      ({ startedAt, finishedAt }) => startedAt !== null && finishedAt === null,
    );
    const [stats, network, usage] = await Promise.all([
      this.listContainerStats(running),
      this.#network(row),
      this.#podUsage(row, running),
    ]);
    const { cpu, memory, io, processCount } = usage;
    return { row, cpu, memory, io, network, processCount, containers: stats };
  }

  listPodSandboxStats(rows: SandboxRow[], containers: ContainerRow[]): Promise<SandboxStats[]> {
    const byPod = Map.groupBy(containers, ({ sandboxId }) => sandboxId);
    return mapBounded(rows, READERS, (row) => this.podSandboxStats(row, byPod.get(row.id) ?? []));
  }

  /** Disk use of the writable layers of `rows` together. */
  writableUsage(rows: ContainerRow[]): Promise<{ usedBytes: number; inodesUsed: number }> {
    return this.#layers.sum(rows.map(({ rootfs }) => rootfs.upper));
  }

  /** The pod's own cgroup holds all of its containers; a pod without one is the sum of them. */
  async #podUsage(row: SandboxRow, running: ContainerRow[]): Promise<CgroupUsage> {
    if (row.cgroupParent !== '' && row.cgroupParent !== '/') {
      const driver = row.cgroupParent.startsWith('/') ? 'cgroupfs' : 'systemd';
      const usage = await this.#usage(parentDirectory(driver, row.cgroupParent));
      if (usage.cpu !== null) return usage;
    }
    return sumUsage(await Promise.all(running.map(({ cgroupPath }) => this.#usage(cgroupPath))));
  }

  /** The reading of the last second, one that is under way, or a new one. */
  #usage(path: string): Promise<CgroupUsage> {
    this.#schedule();
    const known = this.#readings.get(path);
    if (known !== undefined && performance.now() - known.at < FRESH_MS) return known.usage;
    const usage = cgroupUsage(path, this.#rates);
    this.#readings.set(path, { at: performance.now(), usage });
    return usage;
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    this.#timer = setTimeout(() => void this.#sample(), this.#options.collectPeriodMs).unref();
  }

  /** Samples the CPU of all that was asked for lately and forgets the rest; ends with the last of them. */
  async #sample(): Promise<void> {
    const oldest = performance.now() - INTEREST_MS;
    await mapBounded([...this.#readings], READERS, async ([path, { at }]) => {
      if (at > oldest && (await cpuUsage(path, this.#rates)) !== null) return;
      this.#readings.delete(path);
      this.#rates.forget(path);
    }).catch((err: unknown) => this.#log.warn({ err }, 'sampling of CPU use failed'));
    this.#timer = undefined;
    this.#layers.prune(INTEREST_MS);
    if (this.#readings.size > 0) this.#schedule();
  }

  async #network(row: SandboxRow): Promise<SandboxStats['network']> {
    if (row.namespaces.net === null) return null;
    try {
      const found = await native().netnsInterfaces(row.namespaces.net);
      const usages = found.filter(({ name }) => name !== 'lo').map(interfaceUsage);
      return {
        timestamp: nowNs(),
        defaultInterface: usages.find(({ name }) => name === DEFAULT_INTERFACE) ?? null,
        interfaces: usages.filter(({ name }) => name !== DEFAULT_INTERFACE),
      };
    } catch (err) {
      // The pod may be stopped this instant.
      this.#log.debug({ id: row.id, err }, 'network use cannot be read');
      return null;
    }
  }
}

function interfaceUsage({ name, rxBytes, rxErrors, txBytes, txErrors }: InterfaceUsage): InterfaceUsage {
  return { name, rxBytes, rxErrors, txBytes, txErrors };
}
