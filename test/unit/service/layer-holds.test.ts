import assert from 'node:assert/strict';
import { it } from 'node:test';
import { LayerHolds } from '../../../src/service/layer-holds.ts';

it('a layer is held until the last one who holds it lets go, each once', () => {
  const holds = new LayerHolds();
  const first = holds.take(['/a', '/b']);
  const second = holds.take(['/b']);
  assert.deepEqual([...holds.held()], ['/a', '/b']);
  first();
  first();
  assert.deepEqual([...holds.held()], ['/b']);
  second();
  assert.deepEqual([...holds.held()], []);
});
