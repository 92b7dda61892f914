import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runBench, SMOKE } from './bench.ts';
import { textOf } from './report.ts';

test('a short bench gives every figure of every contestant', async (t) => {
  const report = await runBench(SMOKE, (text) => t.diagnostic(text));
  for (const line of report.lines)
    for (const [name, { median, samples }] of Object.entries(line.byContestant)) {
      assert.ok(samples.length > 0, `${name}: no sample of ${line.label}`);
      assert.ok(Number.isFinite(median), `${name}: ${line.label} is ${median}`);
    }
  console.log(textOf(report));
});
