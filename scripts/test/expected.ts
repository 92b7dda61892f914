/**
 * The list of expected failures (test/expected-failures): one test a line,
 * `<name> # <reason>`. A listed test that fails is shown and counted as skipped;
 * one that passes, or that is no longer there, is a failure: the list never lags.
 */
import type { TestResult } from './results.ts';

/** Name of the test -> why it fails. */
export type ExpectedFailures = Map<string, string>;

/** Reads the list; an entry without a reason is an error. */
export function parseExpected(text: string): ExpectedFailures {
  const expected: ExpectedFailures = new Map();
  for (const line of text.split('\n').map((one) => one.trim())) {
    if (line === '' || line.startsWith('#')) continue;
    const [name, reason] = line.split(/\s+#\s+/, 2);
    if (name === undefined || reason === undefined || reason === '')
      throw new Error(`test/expected-failures: give a reason, as "<name> # <reason>": ${line}`);
    expected.set(name, reason);
  }
  return expected;
}

/**
 * The results with the list applied. `files` are those that ran whole: an entry
 * of one of them that names no test there is turned into a failure.
 */
export function applyExpected(
  results: TestResult[],
  expected: ExpectedFailures,
  files: string[],
): TestResult[] {
  const applied = results.map((result) => {
    const reason = expected.get(result.name);
    return reason === undefined ? result : judge(result, reason);
  });
  const seen = new Set(results.map((result) => result.name));
  for (const name of expected.keys()) {
    if (seen.has(name) || !files.some((file) => name.startsWith(`${file} > `))) continue;
    applied.push({
      name,
      outcome: 'failed',
      detail: 'there is no such test: take its line out of test/expected-failures',
      ms: 0,
    });
  }
  return applied;
}

function judge(result: TestResult, reason: string): TestResult {
  if (result.outcome === 'failed')
    return { ...result, outcome: 'skipped', detail: `fails as expected: ${reason}` };
  if (result.outcome === 'skipped') return result;
  return {
    ...result,
    outcome: 'failed',
    detail: `passes now, and was expected to fail (${reason}): take its line out of test/expected-failures`,
  };
}
