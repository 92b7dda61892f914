import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { logPath } from '../../../src/container/log-path.ts';

describe('logPath', () => {
  const cases: [directory: string, relative: string, path: string][] = [
    ['/var/log/pods/a', 'main/0.log', '/var/log/pods/a/main/0.log'],
    ['/var/log/pods/a/', './main/../main/0.log', '/var/log/pods/a/main/0.log'],
    ['/', 'x.log', '/x.log'],
    ['', 'main/0.log', ''],
    ['/var/log', '', ''],
  ];
  for (const [directory, relative, path] of cases)
    it(`joins "${directory}" and "${relative}"`, () => {
      assert.equal(logPath(directory, relative), path);
    });

  for (const relative of ['../other/0.log', 'a/../../x', '..', '.', '/../x', 'a\0b'])
    it(`refuses "${relative}", which is no file below the directory`, () => {
      assert.throws(() => logPath('/var/log/pods/a', relative), { code: 'invalid_argument' });
    });

  it('refuses a directory that is not absolute', () => {
    assert.throws(() => logPath('logs', 'x'), { code: 'invalid_argument' });
  });
});
