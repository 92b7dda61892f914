import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { applyExpected, parseExpected } from '../../../scripts/test/expected.ts';
import { readReport, type TestResult } from '../../../scripts/test/results.ts';
import { commandReport } from '../../../scripts/test/run-suite.ts';

const directory = mkdtempSync(join(tmpdir(), 'skiff-results-'));
after(() => rmSync(directory, { recursive: true }));
const reporter = join(import.meta.dirname, '../../../scripts/test/reporter.mjs');

/** Runs a test file of these lines with the real runner and reads its report. */
function report(...lines: string[]) {
  const path = join(directory, 'sample.test.mjs');
  const out = join(directory, 'report');
  writeFileSync(path, ["import { describe, it, test, before } from 'node:test';", ...lines].join('\n'));
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  spawnSync(process.execPath, [`--test-reporter=${reporter}`, `--test-reporter-destination=${out}`, path], {
    env,
    timeout: 20_000,
  });
  return readReport('f', readFileSync(out, 'utf8'));
}

function outcomes(results: TestResult[]): [string, string][] {
  return results.map((one) => [one.name, one.outcome]);
}

describe('readReport', () => {
  it('counts leaves with their whole name, and no parent', () => {
    const { results } = report(
      "describe('a', () => { it('x', () => {}); describe('b', () => { it('y', () => { throw new Error('why'); }); }); });",
      "test('c', async (t) => { await t.test('z', () => {}); });",
      "test('d', () => {});",
    );
    assert.deepEqual(outcomes(results), [
      ['f > a > x', 'passed'],
      ['f > a > b > y', 'failed'],
      ['f > c > z', 'passed'],
      ['f > d', 'passed'],
    ]);
    assert.match(results[1]!.detail, /Error: why\n/);
  });

  it('keeps the reason of a skip', () => {
    const { results } = report("it('s', { skip: 'no such kernel' }, () => {});");
    assert.deepEqual(
      results.map((one) => [one.outcome, one.detail]),
      [['skipped', 'no such kernel']],
    );
  });

  it('counts a suite whose hook fails', () => {
    const { results } = report(
      "describe('h', () => { before(() => { throw new Error('hook'); }); it('x', () => {}); });",
    );
    assert.ok(outcomes(results).some(([name, outcome]) => name === 'f > h' && outcome === 'failed'));
  });

  it('counts a test that never ends as failed', () => {
    const { results } = report("it('n', { timeout: 100 }, () => new Promise(() => {}));");
    assert.deepEqual(outcomes(results), [['f > n', 'failed']]);
  });
});

describe('commandReport', () => {
  it('is one test by exit code, or the TAP lines that were printed', () => {
    assert.deepEqual(outcomes(commandReport('make', 'cc x.c\n', 0, 1).results), [['make', 'passed']]);
    assert.deepEqual(commandReport('make', '', 2, 1).results, []);
    assert.deepEqual(
      outcomes(
        commandReport('make', '1..3\nok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP old kernel\n', 1, 1).results,
      ),
      [
        ['make > a', 'passed'],
        ['make > b', 'failed'],
        ['make > c', 'skipped'],
      ],
    );
  });
});

describe('expected failures', () => {
  const result = (name: string, outcome: TestResult['outcome']): TestResult => ({
    name,
    outcome,
    detail: '',
    ms: 0,
  });

  it('turns a listed failure into a skip and a listed success into a failure', () => {
    const expected = parseExpected('# head\n\nf > a # kernel bug\nf > b # not yet\n');
    const applied = applyExpected(
      [result('f > a', 'failed'), result('f > b', 'passed'), result('f > c', 'failed')],
      expected,
      ['f'],
    );
    assert.deepEqual(outcomes(applied), [
      ['f > a', 'skipped'],
      ['f > b', 'failed'],
      ['f > c', 'failed'],
    ]);
    assert.match(applied[0]!.detail, /kernel bug/);
    assert.match(applied[1]!.detail, /passes now/);
  });

  it('fails on a listed test that is not in its file, but not on a file that did not run', () => {
    const expected = parseExpected('f > gone # was here\ng > other # elsewhere');
    assert.deepEqual(outcomes(applyExpected([], expected, ['f'])), [['f > gone', 'failed']]);
  });

  it('refuses an entry without a reason', () => {
    assert.throws(() => parseExpected('f > a'), /give a reason/);
  });
});
