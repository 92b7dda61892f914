import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  checkHouse,
  cycles,
  forbiddenImports,
  type ImportGraph,
  sourceRules,
} from '../../scripts/check-imports.ts';

/** A graph in which each file imports those named after it; a name without a slash is a package. */
function graph(...lines: string[]): ImportGraph {
  return new Map(
    lines.map((line) => {
      const [from = '', ...imports] = line.split(' ');
      return [from, imports.map((path) => ({ path, external: !path.startsWith('src/') }))];
    }),
  );
}

describe('the house', () => {
  it('keeps its rules', async () => {
    assert.deepEqual(await checkHouse(join(import.meta.dirname, '../..')), []);
  });
});

describe('forbiddenImports', () => {
  const forbidden = [
    ['a room that sees another', 'src/sandbox/a.ts src/container/b.ts'],
    ['an upward import', 'src/os/a.ts src/service/b.ts'],
    ['a door that passes by the hall', 'src/cri/a.ts src/os/b.ts'],
    ['a leaf that knows the domain', 'src/base/a.ts src/sandbox/b.ts'],
    ['a command line that reaches inside the daemon', 'src/cli/a.ts src/service/b.ts'],
    ['a child process outside os/', 'src/image/a.ts node:child_process'],
    ['a folder without a place', 'src/misc/a.ts'],
  ];
  for (const [what, line] of forbidden) {
    it(`refuses ${what}`, () => assert.equal(forbiddenImports(graph(line!)).length, 1));
  }

  it('allows the way down and the leaves', () => {
    const lines = [
      'src/cri/a.ts src/service/b.ts',
      'src/service/b.ts src/os/c.ts src/base/d.ts pino',
      'src/os/c.ts node:child_process',
    ];
    assert.deepEqual(forbiddenImports(graph(...lines)), []);
  });
});

describe('cycles', () => {
  it('names the files of a cycle in order', () => {
    const found = cycles(graph('src/a.ts src/b.ts', 'src/b.ts src/c.ts', 'src/c.ts src/b.ts'));
    assert.deepEqual(found, ['import cycle: src/b.ts -> src/c.ts -> src/b.ts']);
  });

  it('takes two ways to one file for no cycle', () => {
    assert.deepEqual(
      cycles(graph('src/a.ts src/b.ts src/c.ts', 'src/b.ts src/d.ts', 'src/c.ts src/d.ts', 'src/d.ts')),
      [],
    );
  });
});

describe('sourceRules', () => {
  it('refuses a silenced type error', () => {
    for (const word of ['ts-ignore', 'ts-nocheck', 'ts-expect-error why'])
      assert.equal(sourceRules('src/os/a.ts', `const a = 1;\n// @${word}\n`).length, 1);
  });

  it('refuses process.exit and protobuf types outside their places', () => {
    assert.equal(sourceRules('src/ops/a.ts', 'process.exit(1);').length, 1);
    assert.deepEqual(sourceRules('src/main.ts', 'process.exit(1);'), []);
    assert.equal(sourceRules('src/service/a.ts', "import type { X } from '../cri/gen/x.ts';").length, 1);
  });
});
