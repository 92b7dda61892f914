import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { containerEnv, DEFAULT_PATH, mergeEnv } from '../../../src/container/env.ts';

describe('mergeEnv', () => {
  const cases: [name: string, lists: string[][], merged: string[]][] = [
    ['keeps the order of first mention', [['B=1', 'A=2'], ['C=3']], ['B=1', 'A=2', 'C=3']],
    ['lets a later value win in the earlier place', [['A=1', 'B=2'], ['A=3']], ['A=3', 'B=2']],
    ['takes a key away by an entry without =', [['A=1', 'B=2'], ['A']], ['B=2']],
    ['splits at the first = only', [['A=x=y'], ['A=p=q']], ['A=p=q']],
    ['keeps an empty value', [['A=1'], ['A=']], ['A=']],
  ];
  for (const [name, lists, merged] of cases)
    it(name, () => {
      assert.deepEqual(mergeEnv(...lists), merged);
    });
});

describe('containerEnv', () => {
  it('puts the image over the runtime and the container over both', () => {
    const env = containerEnv({
      hostname: 'pod',
      tty: true,
      image: ['PATH=/image', 'LANG=C'],
      config: [
        { key: 'LANG', value: 'en' },
        { key: 'HOSTNAME', value: 'mine' },
        { key: 'X', value: '1' },
        { key: 'X', value: '2' },
      ],
    });
    assert.deepEqual(env, ['PATH=/image', 'TERM=xterm', 'HOSTNAME=mine', 'LANG=en', 'X=2']);
  });

  it('gives a PATH and no TERM where nothing says otherwise', () => {
    assert.deepEqual(containerEnv({ hostname: 'pod', tty: false, image: [], config: [] }), [
      DEFAULT_PATH,
      'HOSTNAME=pod',
    ]);
  });
});
