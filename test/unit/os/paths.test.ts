import assert from 'node:assert/strict';
import { join } from 'node:path';
import { it } from 'node:test';
import { artefact } from '../../../src/os/paths.ts';

it('finds what the build made in dist/ of the repository', () => {
  assert.equal(artefact('skiff-shim'), join(import.meta.dirname, '../../../dist/skiff-shim'));
});
