import { cpus, release, totalmem } from 'node:os';
import type { Busyness } from './busy.ts';
import {
  FIGURES,
  type FigureKey,
  type FigureKind,
  median,
  OURS,
  PEER,
  quantile,
  type Samples,
  type Samplings,
} from './figures.ts';
import type { Step } from './steps.ts';

interface Column {
  median: number;
  p95: number;
  samples: Samples;
}

/** One line of the table. */
export interface Line {
  key: FigureKey;
  label: string;
  unit: FigureKind['unit'];
  byContestant: Record<string, Column>;
  /** Ours to the peer's, medians; null where there is nothing to divide. */
  ratio: number | null;
  must: NonNullable<FigureKind['must']> | null;
  missed: boolean;
}

export interface Report {
  when: string;
  machine: { processors: number; model: string; memoryMiB: number; kernel: string };
  /** Versions and settings that all contestants share, and the contestants' own. */
  about: Record<string, string>;
  options: object;
  busy: Record<string, Busyness>;
  /** Of skiff's operations, where they were asked for. */
  steps: Step[];
  lines: Line[];
}

export function makeReport(
  samplings: Samplings,
  facts: Pick<Report, 'about' | 'options' | 'busy' | 'steps'> & { contestants: string[] },
): Report {
  const { contestants, ...rest } = facts;
  return {
    when: new Date().toISOString(),
    machine: {
      processors: cpus().length,
      model: cpus()[0]?.model ?? '',
      memoryMiB: Math.round(totalmem() / 2 ** 20),
      kernel: release(),
    },
    ...rest,
    lines: FIGURES.map((kind) => lineOf(kind, samplings, contestants)),
  };
}

function lineOf(kind: FigureKind & { key: FigureKey }, samplings: Samplings, contestants: string[]): Line {
  const byContestant = Object.fromEntries(
    contestants.map((name) => {
      const samples = samplings.of(kind.key, name);
      return [name, { median: median(samples), p95: quantile(samples, 0.95), samples }];
    }),
  );
  const ours = byContestant[OURS]?.median ?? Number.NaN;
  const ratio = ours / (byContestant[PEER]?.median ?? Number.NaN);
  const must = kind.must ?? null;
  return {
    key: kind.key,
    label: kind.label,
    unit: kind.unit,
    byContestant,
    ratio: Number.isFinite(ratio) && ratio >= 0 ? ratio : null,
    must,
    missed: must !== null && !('ratio' in must ? ratio <= must.ratio : ours <= must.absolute),
  };
}

/** The report for a terminal: a table, what it was measured with, how busy the machine was. */
export function textOf(report: Report): string {
  const names = Object.keys(report.lines[0]?.byContestant ?? {});
  const head = ['', ...names.map((name) => `${name} p50 / p95`), 'ratio', 'must', ''];
  const rows = report.lines
    .filter((line) => names.some((name) => line.byContestant[name]!.samples.length > 0))
    .map((line) => [
      `${line.label}, ${line.unit}`,
      ...names.map((name) => cell(line.byContestant[name]!)),
      line.ratio === null ? '-' : line.ratio.toFixed(2),
      mustText(line),
      line.missed ? 'missed' : '',
    ]);
  const { machine } = report;
  return [
    table([head, ...rows]),
    '',
    `${machine.processors} x ${machine.model}, ${machine.memoryMiB} MiB, Linux ${machine.kernel}`,
    ...Object.entries(report.about).map(([name, value]) => `${name}: ${value}`),
    ...Object.entries(report.busy).map(([part, busy]) => `${part}: ${busyText(busy)}`),
    ...(report.steps.length === 0 ? [] : ['', stepsText(report.steps)]),
  ].join('\n');
}

function stepsText(steps: Step[]): string {
  const rows = steps.map(({ name, count, median: middle, p95 }) => [
    name,
    String(count),
    `${digits(middle)} / ${digits(p95)}`,
  ]);
  return table([["skiff's steps, ms", 'times', 'p50 / p95'], ...rows]);
}

function busyText({ seconds, ours, others, load }: Busyness): string {
  const percent = (share: number) => `${Math.round(share * 100)} %`;
  const warning = others > 0.1 ? ': busy, compare only ratios' : '';
  return `${seconds.toFixed(0)} s, the bench used ${percent(ours)} of the machine, others ${percent(others)}, load ${load.map((value) => value.toFixed(1)).join(' ')}${warning}`;
}

function cell({ median: middle, p95, samples }: Column): string {
  if (samples.length === 0) return '-';
  return samples.length === 1 ? digits(middle) : `${digits(middle)} / ${digits(p95)}`;
}

function digits(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  return size >= 1 || size === 0 ? value.toFixed(1) : value.toFixed(4);
}

function mustText({ must }: Line): string {
  if (must === null) return '';
  return 'ratio' in must ? `ratio <= ${must.ratio}` : `<= ${must.absolute}`;
}

/** First column to the left, the others to the right. */
function table(rows: string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((text, column) => (column === 0 ? text.padEnd(widths[column]!) : text.padStart(widths[column]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
