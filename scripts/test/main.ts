/** The test command behind scripts/test.sh: runs suites, prints what happened, ends with the one line that counts. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs, styleText } from 'node:util';
import { applyExpected, parseExpected } from './expected.ts';
import type { TestResult } from './results.ts';
import { runSuite, type SuiteRun } from './run-suite.ts';
import { SUITES, type Suite } from './suites.ts';

const repo = join(import.meta.dirname, '../..');
const LOG_LINES = 60;
/** Of our own tests, and of the conformance tests in the lab. */
const EXPECTED = ['test/expected-failures', 'test/conformance/expected-failures'];

function chosenSuites(names: string[], all: boolean): Suite[] {
  const unknown = names.find((name) => !SUITES.some((suite) => suite.name === name));
  if (unknown !== undefined)
    throw new Error(`there is no suite ${unknown}; suites: ${SUITES.map((suite) => suite.name).join(', ')}`);
  if (names.length > 0) return SUITES.filter((suite) => names.includes(suite.name));
  return SUITES.filter((suite) => all || !suite.extra);
}

/** Prints one finished file; a failing one with its errors and the end of its log. */
async function tell(
  name: string,
  notes: string[],
  logPath: string,
  ms: number,
  outcomes: TestResult[],
): Promise<void> {
  const failed = outcomes.filter((one) => one.outcome === 'failed');
  const skipped = outcomes.filter((one) => one.outcome === 'skipped');
  const mark = failed.length === 0 ? styleText('green', 'ok  ') : styleText('red', 'FAIL');
  console.log(`${mark} ${name} (${outcomes.length} in ${(ms / 1000).toFixed(1)} s)`);
  for (const note of notes) console.log(`       ${note}`);
  for (const one of skipped) console.log(`       skipped: ${shortName(one.name, name)}: ${one.detail}`);
  for (const one of failed)
    console.log(`     ${styleText('red', `failed: ${shortName(one.name, name)}`)}\n${indent(one.detail)}`);
  if (failed.length === 0) return;
  const lines = (await readFile(logPath, 'utf8').catch(() => '')).trimEnd().split('\n');
  if (lines.length === 1 && lines[0] === '') return;
  console.log(
    `       output (the last ${Math.min(LOG_LINES, lines.length)} of ${lines.length} lines of ${logPath}):`,
  );
  console.log(indent(lines.slice(-LOG_LINES).join('\n')));
}

function shortName(name: string, file: string): string {
  return name.startsWith(`${file} > `) ? name.slice(file.length + 3) : name;
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '         ');
}

function count(results: TestResult[], outcome: TestResult['outcome']): number {
  return results.filter((one) => one.outcome === outcome).length;
}

function printTable(runs: SuiteRun[]): void {
  console.log(
    `\n${'suite'.padEnd(14)}${'passed'.padStart(8)}${'failed'.padStart(8)}${'skipped'.padStart(9)}${'time'.padStart(9)}${'budget'.padStart(9)}`,
  );
  for (const { suite, results, ms } of runs) {
    const numbers = [count(results, 'passed'), count(results, 'failed')]
      .map((n) => String(n).padStart(8))
      .join('');
    const skipped = String(count(results, 'skipped')).padStart(9);
    const time = `${(ms / 1000).toFixed(1)} s`.padStart(9);
    const late = ms > suite.budget * 1000 ? styleText('yellow', '  over its budget') : '';
    console.log(
      `${suite.name.padEnd(14)}${numbers}${skipped}${time}${`${suite.budget} s`.padStart(9)}${late}`,
    );
  }
}

async function runAll(suites: Suite[], only: string, signal: AbortSignal): Promise<SuiteRun[]> {
  const lists = EXPECTED.map((path) => readFile(join(repo, path), 'utf8').catch(() => ''));
  const expected = parseExpected((await Promise.all(lists)).join('\n'));
  const logs = join(repo, 'test-results');
  await rm(logs, { recursive: true, force: true });
  const runs: SuiteRun[] = [];
  for (const suite of suites) {
    if (signal.aborted) break;
    console.log(`\n${styleText('bold', suite.name)}: ${suite.what}`);
    let telling = Promise.resolve();
    const run = await runSuite(suite, {
      repo,
      only,
      logs,
      signal,
      finished: (name, report, logPath, ms) => {
        const outcomes = applyExpected(report.results, expected, [name]);
        telling = telling.then(() => tell(name, report.notes, logPath, ms, outcomes));
      },
    });
    await telling;
    if (run.results.length === 0) console.log('     no tests here yet');
    runs.push({ ...run, results: applyExpected(run.results, expected, run.files) });
  }
  return runs;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { all: { type: 'boolean', default: false }, only: { type: 'string', default: '' } },
  });
  const interrupt = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => interrupt.abort());
  const runs = await runAll(chosenSuites(positionals, values.all), values.only, interrupt.signal);
  printTable(runs);
  const results = runs.flatMap((run) => run.results);
  const failed = count(results, 'failed');
  console.log(`${count(results, 'passed')} passed, ${failed} failed, ${count(results, 'skipped')} skipped`);
  if (interrupt.signal.aborted) return 130;
  return failed > 0 || results.length === 0 ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (cause) {
  console.error(`test.sh: ${cause instanceof Error ? cause.message : cause}`);
  process.exitCode = 2;
}
