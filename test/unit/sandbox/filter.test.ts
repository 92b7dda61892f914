import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { matchesSandbox } from '../../../src/sandbox/filter.ts';
import { sandboxConfig, sandboxRow } from './config.ts';

const ROW = sandboxRow(sandboxConfig({ labels: { app: 'web', tier: 'front' } }), { id: 'abcdef' });
const ANY = { id: '', state: null, labels: {} };

describe('matchesSandbox', () => {
  it('lists all under an empty filter, but for sandboxes in the making', () => {
    assert.equal(matchesSandbox(ROW, ANY), true);
    assert.equal(matchesSandbox({ ...ROW, state: 'initialized' }, ANY), false);
  });

  it('wants id or prefix, state and every label', () => {
    assert.equal(matchesSandbox(ROW, { id: 'abc', state: 'ready', labels: { app: 'web' } }), true);
    assert.equal(matchesSandbox(ROW, { ...ANY, id: 'bc' }), false);
    assert.equal(matchesSandbox(ROW, { ...ANY, state: 'notready' }), false);
    assert.equal(matchesSandbox(ROW, { ...ANY, labels: { app: 'web', tier: 'back' } }), false);
    assert.equal(matchesSandbox(ROW, { ...ANY, labels: { other: '' } }), false);
  });
});
