import { readFile } from 'node:fs/promises';
import { median, quantile, type Samples } from './figures.ts';

/** One step of one of the daemon's operations, or one CNI plugin: milliseconds. */
export interface Step {
  name: string;
  count: number;
  median: number;
  p95: number;
}

interface Entry {
  op?: string;
  ms?: number | Record<string, number>;
  plugin?: string;
  command?: string;
}

/** What a skiff daemon at log level debug tells of its operations, as they came first in the log. */
export async function stepsOf(logFile: string): Promise<Step[]> {
  const samples = new Map<string, Samples>();
  const take = (name: string, ms: number) => samples.set(name, [...(samples.get(name) ?? []), ms]);
  for (const line of (await readFile(logFile, 'utf8')).split('\n')) {
    const entry = parse(line);
    if (entry?.plugin !== undefined && typeof entry.ms === 'number')
      take(`cni ${entry.plugin} ${entry.command}`, entry.ms);
    if (entry?.op === undefined || typeof entry.ms !== 'object') continue;
    for (const [step, ms] of Object.entries(entry.ms)) take(`${entry.op}: ${step}`, ms);
  }
  return [...samples].map(([name, values]) => ({
    name,
    count: values.length,
    median: median(values),
    p95: quantile(values, 0.95),
  }));
}

function parse(line: string): Entry | undefined {
  try {
    return JSON.parse(line) as Entry;
  } catch {
    return undefined;
  }
}
