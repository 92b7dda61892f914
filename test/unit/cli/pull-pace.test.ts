import assert from 'node:assert/strict';
import { it } from 'node:test';
import { PullPace } from '../../../src/cli/pull-pace.ts';
import type { PullProgress } from '../../../src/image/types.ts';

const MIB = 2 ** 20;
const event = (layer: string, current: number, total: number, phase: PullProgress['phase'] = 'fetching') => ({
  image: 'i',
  layer,
  phase,
  current: current * MIB,
  total: total * MIB,
});

it('tells sum, rate and time left of all layers that are fetched', () => {
  const pace = new PullPace();
  pace.note(event('', 0, 0, 'resolving'), 0);
  assert.equal(pace.describe(0), '');
  pace.note(event('a', 0, 100), 0);
  pace.note(event('b', 0, 100), 0);
  pace.note(event('there', 50, 50, 'exists'), 0);
  assert.equal(pace.describe(0), '0 B / 200 MiB');
  pace.note(event('a', 20, 100), 1000);
  assert.equal(pace.describe(1000), '20.0 MiB / 200 MiB, 20.0 MiB/s, 9 s left');
});

it('follows a pull that slows down, and says nothing of one that stands still', () => {
  const pace = new PullPace();
  for (let second = 0; second <= 10; second++) pace.note(event('a', second * 10, 1000), second * 1000);
  for (let second = 11; second <= 20; second++) pace.note(event('a', 90 + second, 1000), second * 1000);
  assert.match(pace.describe(20_000), /, 1\.0 MiB\/s, 14 min 50 s left$/);
  for (let second = 21; second <= 30; second++) pace.note(event('a', 110, 1000), second * 1000);
  assert.equal(pace.describe(30_000), '110 MiB / 1000 MiB');
  pace.note(event('a', 1000, 1000, 'done'), 31_000);
  assert.equal(pace.describe(31_000), '1000 MiB / 1000 MiB');
});
