import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { exitReason } from '../../../src/container/exit-reason.ts';
import { matchesContainer } from '../../../src/container/filter.ts';
import type { ContainerRow } from '../../../src/container/types.ts';
import type { ContainerFilter } from '../../../src/service/api.ts';
import { containerConfig } from './builders.ts';

const row = {
  id: 'abc123',
  sandboxId: 'pod456',
  config: containerConfig({ labels: { app: 'web', tier: 'front' } }),
  startedAt: '5',
  finishedAt: null,
} as ContainerRow;

describe('matchesContainer', () => {
  const cases: [name: string, filter: Partial<ContainerFilter>, matches: boolean][] = [
    ['nothing asked', {}, true],
    ['whole id', { id: 'abc123' }, true],
    ['short id', { id: 'abc' }, true],
    ['other id', { id: 'bc' }, false],
    ['short sandbox id', { podSandboxId: 'pod' }, true],
    ['other sandbox', { podSandboxId: 'pod5' }, false],
    ['state', { state: 'running' }, true],
    ['other state', { state: 'exited' }, false],
    ['labels', { labels: { app: 'web', tier: 'front' } }, true],
    ['one label wrong', { labels: { app: 'web', tier: 'back' } }, false],
    ['label that is not there', { labels: { zone: 'a' } }, false],
    ['all but one', { id: 'abc', podSandboxId: 'pod456', state: 'created', labels: { app: 'web' } }, false],
  ];
  for (const [name, filter, expected] of cases)
    it(`${name}: ${expected}`, () => {
      assert.equal(
        matchesContainer(row, { id: '', state: null, podSandboxId: '', labels: {}, ...filter }),
        expected,
      );
    });
});

describe('exitReason', () => {
  const cases: [exitCode: number, oomKilled: boolean, reason: string][] = [
    [0, false, 'Completed'],
    [1, false, 'Error'],
    [137, false, 'Error'],
    [137, true, 'OOMKilled'],
    [1, true, 'OOMKilled'],
  ];
  for (const [exitCode, oomKilled, reason] of cases)
    it(`is ${reason} for ${exitCode}${oomKilled ? ' after an OOM kill' : ''}`, () => {
      assert.equal(exitReason({ exitCode, oomKilled }), reason);
    });
});
