import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Pins } from '../../../src/image/pins.ts';
import type { ImageRow } from '../../../src/image/types.ts';

it('a name is pinned by a pattern that is all of it, and its row stays one object', () => {
  const row = {
    repoTags: ['registry.k8s.io/pause:3.10'],
    repoDigests: [],
    pinned: false,
  } as unknown as ImageRow;
  const table: [string, boolean][] = [
    ['registry.k8s.io/pause:3.10', true],
    ['registry.k8s.io/pause:*', true],
    ['*/pause:*', true],
    ['registry.k8s.io/*', true],
    ['registry.k8s.io/pause', false],
    ['registryXk8s.io/pause:*', false],
    ['pause:*', false],
    ['', false],
  ];
  for (const [pattern, expected] of table) {
    const pins = new Pins({ patterns: () => ['other', pattern] });
    assert.equal(pins.applied(row).pinned, expected, pattern);
    assert.equal(pins.applied(row), pins.applied(row));
  }
  assert.equal(row.pinned, false);
});
