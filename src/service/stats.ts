import { errnoOf, SkiffError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { Slots } from '../base/slots.ts';
import { type ContainerRow, stateOf } from '../container/types.ts';
import type { SandboxRow } from '../sandbox/types.ts';
import type { ContainerStats, SandboxStats } from './api.ts';
import { CpuRates } from './cpu-rates.ts';
import { LayerUsage } from './layer-usage.ts';
import { podCgroup, readNetwork } from './stats-pod.ts';
import { type CgroupUsage, cgroupUsage, cpuUsage, sumUsage } from './usage.ts';

/** A result serves all who ask within this time. */
const FRESH_MS = 1000;
/** How long after the last question CPU goes on being sampled, so that the next one has a rate at once. */
const INTEREST_MS = 120_000;
/** Cgroups and namespaces that are read at once, over all callers. */
const READERS = 16;

interface Reading {
  /** End of the reading, in ms of the monotonic clock; its beginning while it goes on. */
  at: number;
  pending: boolean;
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
  readonly #slots = new Slots(READERS);
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

  /** Of a running container; `failed_precondition` for any other. CPU and memory are never null. */
  async containerStats(row: ContainerRow): Promise<ContainerStats> {
    const stats = await this.#containerStats(row);
    if (stats !== null) return stats;
    const state = stateOf(row) === 'running' ? 'it has just ended' : `it is ${stateOf(row)}, not running`;
    throw new SkiffError('failed_precondition', `read statistics of container ${row.id}: ${state}`);
  }

  /** Of those that run, in the order of `rows`. */
  async listContainerStats(rows: ContainerRow[]): Promise<ContainerStats[]> {
    const stats = await Promise.all(rows.map((row) => this.#containerStats(row)));
    return stats.filter((one) => one !== null);
  }

  /** Of a ready pod; `failed_precondition` for any other. `containers` are those of the sandbox; running ones are shown. */
  async podSandboxStats(row: SandboxRow, containers: ContainerRow[]): Promise<SandboxStats> {
    if (row.state !== 'ready')
      throw new SkiffError('failed_precondition', `read statistics of pod ${row.id}: it is not ready`);
    const [stats, network, usage] = await Promise.all([
      this.listContainerStats(containers),
      this.#network(row),
      this.#podUsage(row, containers),
    ]);
    const { cpu, memory, io, processCount } = usage;
    return { row, cpu, memory, io, network, processCount, containers: stats };
  }

  /** Disk use of the writable layers of `rows` together, which are all containers that there are. */
  writableUsage(rows: ContainerRow[]): Promise<{ usedBytes: number; inodesUsed: number }> {
    this.#schedule();
    return this.#layers.sum(rows.map(({ rootfs }) => rootfs.upper));
  }

  async #containerStats(row: ContainerRow): Promise<ContainerStats | null> {
    if (stateOf(row) !== 'running') return null;
    const [{ cpu, memory, swap, io }, writableLayer] = await Promise.all([
      this.#usage(row.cgroupPath),
      this.#layers.of(row.rootfs.upper),
    ]);
    // Every cgroup tells of its CPU time and processes, so this one is gone.
    if (cpu === null || memory === null) return null;
    return { row, cpu, memory, swap, io, writableLayer };
  }

  /** The pod's own cgroup holds all of its containers; a pod without one is the sum of them. */
  async #podUsage(row: SandboxRow, containers: ContainerRow[]): Promise<CgroupUsage> {
    const cgroup = podCgroup(row);
    const own = cgroup === null ? null : await this.#usage(cgroup);
    if (own !== null && own.cpu !== null && own.memory !== null) return own;
    const running = containers.filter((container) => stateOf(container) === 'running');
    return sumUsage(await Promise.all(running.map(({ cgroupPath }) => this.#usage(cgroupPath))));
  }

  /** The reading of the last second, one that is under way, or a new one. */
  #usage(path: string): Promise<CgroupUsage> {
    this.#schedule();
    const known = this.#readings.get(path);
    if (known !== undefined && (known.pending || performance.now() - known.at < FRESH_MS)) return known.usage;
    const reading: Reading = {
      at: performance.now(),
      pending: true,
      usage: this.#slots
        .run(() => cgroupUsage(path, this.#rates))
        .finally(() => {
          reading.at = performance.now();
          reading.pending = false;
        }),
    };
    this.#readings.set(path, reading);
    return reading.usage;
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    // More often than that would give no further rates.
    const period = Math.max(this.#options.collectPeriodMs, FRESH_MS);
    this.#timer = setTimeout(() => void this.#sample(), period).unref();
  }

  /** Samples the CPU of all that was asked for lately and forgets the rest; ends with the last of them. */
  async #sample(): Promise<void> {
    try {
      await Promise.all([...this.#readings].map(([path, reading]) => this.#sampleOne(path, reading)));
    } catch (err) {
      this.#log.warn({ err }, 'sampling of CPU use failed');
    }
    this.#timer = undefined;
    this.#layers.prune(INTEREST_MS);
    if (this.#readings.size > 0 || this.#layers.size > 0) this.#schedule();
  }

  async #sampleOne(path: string, reading: Reading): Promise<void> {
    const isAskedFor = reading.pending || performance.now() - reading.at < INTEREST_MS;
    if (isAskedFor && (await this.#slots.run(() => cpuUsage(path, this.#rates))) !== null) return;
    // A caller who came meanwhile has begun another reading, which needs its rate.
    if (this.#readings.get(path) !== reading) return;
    this.#readings.delete(path);
    this.#rates.forget(path);
  }

  async #network({ id, namespaces: { net } }: SandboxRow): Promise<SandboxStats['network']> {
    if (net === null) return null;
    try {
      return await this.#slots.run(() => readNetwork(net));
    } catch (err) {
      // ENOENT: the pod is stopped this instant.
      if (errnoOf(err) !== 'ENOENT') this.#log.warn({ id, err }, 'network use cannot be read');
      return null;
    }
  }
}
