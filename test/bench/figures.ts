/** Values of one kind of measurement, one per sample. */
export type Samples = number[];

/** What is measured, in the order of the table. `must` is the bar of the issue that asks for it. */
export interface FigureKind {
  key: string;
  label: string;
  unit: 'ms' | 'MiB' | 'KiB' | 'bytes/byte';
  must?: { ratio: number } | { absolute: number };
}

export const FIGURES = [
  { key: 'runPodSandbox', label: 'RunPodSandbox', unit: 'ms' },
  { key: 'createContainer', label: 'CreateContainer', unit: 'ms' },
  { key: 'startContainer', label: 'StartContainer', unit: 'ms' },
  { key: 'podStart', label: 'whole pod start (the three)', unit: 'ms', must: { ratio: 0.6 } },
  { key: 'execSync', label: 'ExecSync of echo', unit: 'ms' },
  { key: 'stopContainer', label: 'StopContainer, timeout 0', unit: 'ms' },
  { key: 'stopPodSandbox', label: 'StopPodSandbox', unit: 'ms' },
  { key: 'removeContainer', label: 'RemoveContainer', unit: 'ms' },
  { key: 'removePodSandbox', label: 'RemovePodSandbox', unit: 'ms' },
  { key: 'podEnd', label: 'whole pod end (the four)', unit: 'ms' },
  { key: 'cpuStart', label: 'CPU of one pod start', unit: 'ms' },
  { key: 'cpuExec', label: 'CPU of one ExecSync', unit: 'ms' },
  { key: 'cpuEnd', label: 'CPU of one pod end', unit: 'ms' },
  { key: 'pull', label: 'PullImage, many layers', unit: 'ms' },
  { key: 'cpuPull', label: 'CPU of the pull', unit: 'ms' },
  { key: 'idleDaemon', label: 'idle daemon, RSS', unit: 'MiB' },
  { key: 'daemonWithPods', label: 'daemon with all pods, RSS', unit: 'MiB' },
  { key: 'perPod', label: 'each pod, PSS of its helpers', unit: 'KiB' },
  { key: 'shim', label: 'one shim, PSS', unit: 'KiB', must: { absolute: 512 } },
  { key: 'logTime', label: 'writing the log', unit: 'ms' },
  { key: 'cpuLog', label: 'CPU of writing the log', unit: 'ms' },
  { key: 'logGrowth', label: 'daemon growth per byte of log', unit: 'bytes/byte', must: { absolute: 0.01 } },
  { key: 'logPeak', label: 'the same at its highest', unit: 'bytes/byte' },
] as const satisfies FigureKind[];

export type FigureKey = (typeof FIGURES)[number]['key'];

/** The contestant that the others are held against. */
export const PEER = 'containerd';
/** The contestant whose figures have bars. */
export const OURS = 'skiff';

/** Samples of all figures by contestant. */
export class Samplings {
  readonly #samples = new Map<string, Samples>();

  add(figure: FigureKey, contestant: string, ...values: number[]): void {
    const key = `${figure} ${contestant}`;
    this.#samples.set(key, [...(this.#samples.get(key) ?? []), ...values]);
  }

  of(figure: FigureKey, contestant: string): Samples {
    return this.#samples.get(`${figure} ${contestant}`) ?? [];
  }
}

/** The value below which a share `q` (0..1) of the samples lies, by the nearest rank. */
export function quantile(samples: Samples, q: number): number {
  if (samples.length === 0) return Number.NaN;
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]!;
}

export function median(samples: Samples): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Milliseconds that `work` takes. */
export async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; value: T }> {
  const from = performance.now();
  const value = await work();
  return { ms: performance.now() - from, value };
}
