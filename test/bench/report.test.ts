import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FigureKey, median, quantile, Samplings } from './figures.ts';
import { makeReport, textOf } from './report.ts';

const NOTHING = { about: {}, options: {}, busy: {}, steps: [], contestants: ['containerd', 'skiff'] };

function lineOf(samplings: Samplings, key: FigureKey) {
  return makeReport(samplings, NOTHING).lines.find((line) => line.key === key)!;
}

test('median and quantile by nearest rank', () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(quantile([10, 20, 30, 40], 0.95), 40);
  assert.equal(quantile([10, 20, 30, 40], 0.5), 20);
  assert.ok(Number.isNaN(median([])));
});

test('a bar is missed by ratio, by absolute value, and where nothing was measured', () => {
  const samplings = new Samplings();
  samplings.add('podStart', 'containerd', 100);
  samplings.add('podStart', 'skiff', 60);
  samplings.add('shim', 'skiff', 513);
  assert.equal(lineOf(samplings, 'podStart').missed, false);
  assert.equal(lineOf(samplings, 'shim').missed, true);
  assert.equal(lineOf(samplings, 'logGrowth').missed, true);
  samplings.add('podStart', 'skiff', 70, 70);
  assert.equal(lineOf(samplings, 'podStart').ratio, 0.7);
  assert.match(textOf(makeReport(samplings, NOTHING)), /whole pod start.*0\.70 .*missed/);
});

test('a figure without a bar is never missed', () => {
  assert.equal(lineOf(new Samplings(), 'execSync').missed, false);
});
