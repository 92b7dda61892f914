/** Runs one suite: its commands or test files, some at once, within its time. */
import { glob, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runChild } from './child.ts';
import { type FileReport, readReport, type TestResult } from './results.ts';
import type { Suite } from './suites.ts';

export interface SuiteRun {
  suite: Suite;
  results: TestResult[];
  /** Test files that ran to their end. */
  files: string[];
  ms: number;
}

interface Context {
  repo: string;
  /** Only files and commands whose name holds this text; '' = all. */
  only: string;
  /** Where logs go, one per file. */
  logs: string;
  signal: AbortSignal;
  /** Told as soon as a file or command has ended. */
  finished: (name: string, report: FileReport, logPath: string, ms: number) => void;
}

/** Runs `suite`; what does not start because its time is over counts as one failure. */
export async function runSuite(suite: Suite, context: Context): Promise<SuiteRun> {
  const startedAt = performance.now();
  const deadline = startedAt + suite.budget * 2000;
  const jobs = await jobsOf(suite, context);
  const run: SuiteRun = { suite, results: [], files: [], ms: 0 };
  await mkdir(join(context.logs, suite.name), { recursive: true });
  const worker = async () => {
    for (let job = jobs.shift(); job !== undefined && !context.signal.aborted; job = jobs.shift()) {
      const left = deadline - performance.now();
      if (left <= 0) {
        run.results.push(
          failure(job.name, `${suite.name} took over twice its ${suite.budget} s: not started`),
        );
        continue;
      }
      const report = await runJob(job, suite, context, Math.min(left, suite.each * 1000));
      run.results.push(...report.results);
      if (!report.results.some((one) => one.name === job.name)) run.files.push(job.name);
    }
  };
  await Promise.all(Array.from({ length: suite.parallel }, worker));
  run.ms = performance.now() - startedAt;
  return run;
}

interface Job {
  name: string;
  command: string[];
  isFile: boolean;
}

async function jobsOf(suite: Suite, context: Context): Promise<Job[]> {
  const jobs: Job[] = [];
  for (const [name, command] of Object.entries(suite.commands ?? {}))
    jobs.push({ name, command, isFile: false });
  if (suite.files !== undefined) {
    for await (const path of glob(suite.files, { cwd: context.repo }))
      jobs.push({ name: path, command: [process.execPath, path], isFile: true });
  }
  return jobs.filter((job) => job.name.includes(context.only)).sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function runJob(job: Job, suite: Suite, context: Context, timeoutMs: number): Promise<FileReport> {
  const startedAt = performance.now();
  const base = join(context.logs, suite.name, job.name.replaceAll(/[^\w.-]+/g, '_'));
  const logPath = `${base}.log`;
  const reportPath = `${base}.ndjson`;
  await writeFile(logPath, '');
  await rm(reportPath, { force: true });
  const end = await runChild(withReporter(job, suite, context.repo, reportPath), {
    cwd: context.repo,
    logPath,
    timeoutMs,
    // A command may write the reporter's lines there, as tests in a machine of the lab do.
    env: { LAB_REPORT: reportPath },
    signal: context.signal,
  });
  const ms = performance.now() - startedAt;
  const lines = await readFile(reportPath, 'utf8').catch(() => '');
  const report =
    job.isFile || lines !== ''
      ? readReport(job.name, lines)
      : commandReport(job.name, await readFile(logPath, 'utf8'), end.code, ms);
  if (context.signal.aborted) report.results.push(failure(job.name, 'interrupted'));
  else if (end.timedOut)
    report.results.push(
      failure(job.name, `ended after ${Math.round(timeoutMs / 1000)} s, its time was over`),
    );
  else if (end.code !== 0 && !report.results.some((one) => one.outcome === 'failed'))
    report.results.push(
      failure(job.name, `ended with ${end.code === null ? 'a signal' : `code ${end.code}`}`),
    );
  else if (job.isFile && report.results.length === 0) report.results.push(failure(job.name, 'holds no test'));
  context.finished(job.name, report, logPath, ms);
  return report;
}

function withReporter(job: Job, suite: Suite, repo: string, reportPath: string): string[] {
  const [file = '', ...args] = job.command;
  const reporter = [
    `--test-reporter=${join(repo, 'scripts/test/reporter.mjs')}`,
    `--test-reporter-destination=${reportPath}`,
  ];
  // One test that never settles must not take the results of its file's others with it.
  const bound = `--test-timeout=${suite.each * 500}`;
  const command = job.isFile ? [file, ...reporter, bound, ...args] : job.command;
  return suite.private ? [join(repo, 'scripts/private.sh'), ...command] : command;
}

/** A command is one test, unless it prints TAP lines (`ok 1 - name`), which are then its tests. */
export function commandReport(name: string, output: string, code: number | null, ms: number): FileReport {
  const results: TestResult[] = [];
  for (const match of output.matchAll(/^(not )?ok \d+ - ([^#\n]*?)\s*(?:# skip ?(.*))?$/gim)) {
    const test = `${name} > ${match[2]}`;
    if (match[3] !== undefined) results.push({ name: test, outcome: 'skipped', detail: match[3], ms: 0 });
    else
      results.push({ name: test, outcome: match[1] === undefined ? 'passed' : 'failed', detail: '', ms: 0 });
  }
  if (results.length === 0 && code === 0) results.push({ name, outcome: 'passed', detail: '', ms });
  return { results, notes: [] };
}

function failure(name: string, detail: string): TestResult {
  return { name, outcome: 'failed', detail, ms: 0 };
}
