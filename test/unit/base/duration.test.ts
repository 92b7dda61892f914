import assert from 'node:assert/strict';
import { it } from 'node:test';
import { formatDuration, parseDuration } from '../../../src/base/duration.ts';

it('times are read and written', () => {
  const table: [string, number][] = [
    ['0s', 0],
    ['250ms', 250],
    ['90s', 90_000],
    ['5m', 300_000],
    ['2h', 7_200_000],
  ];
  for (const [text, milliseconds] of table) {
    assert.equal(parseDuration(text), milliseconds);
    assert.equal(formatDuration(milliseconds), text);
  }
  for (const text of ['', '5', '-5s', '5 s', '5d', '1.5s'])
    assert.equal(parseDuration(text), undefined, text);
});
