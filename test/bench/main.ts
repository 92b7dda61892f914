/** The measurements behind scripts/bench.sh. */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { type BenchOptions, FULL, runBench, SMOKE } from './bench.ts';
import { textOf } from './report.ts';

function optionsOf(values: {
  smoke?: boolean;
  steps?: boolean;
  pods?: string;
  rounds?: string;
}): BenchOptions {
  const base = values.smoke === true ? SMOKE : FULL;
  return {
    ...base,
    pods: count('--pods', values.pods, base.pods),
    steps: values.steps ?? base.steps,
    rounds: count('--rounds', values.rounds, base.rounds),
  };
}

function count(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 500)
    throw new Error(`${name} takes a number from 1 to 500, not "${text}"`);
  return value;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      pods: { type: 'string' },
      rounds: { type: 'string' },
      json: { type: 'string' },
      smoke: { type: 'boolean' },
      steps: { type: 'boolean' },
    },
  });
  const options = optionsOf(values);
  const report = await runBench(options, (text) => console.log(`    ${text}`));
  console.log(`\n${textOf(report)}`);
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`);
  const missed = report.lines.filter((line) => line.missed);
  if (values.smoke === true || missed.length === 0) return 0;
  console.log(`\n${missed.length} missed: ${missed.map((line) => line.label).join('; ')}`);
  return 1;
}

try {
  process.exitCode = await main();
} catch (cause) {
  console.error('bench.sh:', cause);
  process.exitCode = 2;
}
