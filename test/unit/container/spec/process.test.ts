import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { describe, it } from 'node:test';
import { execProcess, processArgs, processChapter } from '../../../../src/container/spec/process.ts';
import type { Spec } from '../../../../src/oci/runtime-spec.ts';
import { containerConfig, imageConfig, sandboxConfig, sandboxRow, specInput } from '../builders.ts';

describe('processArgs', () => {
  type Words = string[];
  /** https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/ */
  const cases: [name: string, entrypoint: Words, cmd: Words, command: Words, args: Words, line: Words][] = [
    ['image alone', ['/ep'], ['a'], [], [], ['/ep', 'a']],
    ['command replaces both', ['/ep'], ['a'], ['/c'], [], ['/c']],
    ['args replace cmd', ['/ep'], ['a'], [], ['x'], ['/ep', 'x']],
    ['command and args', ['/ep'], ['a'], ['/c'], ['x'], ['/c', 'x']],
    ['cmd without entrypoint', [], ['/a', 'b'], [], [], ['/a', 'b']],
    ['args without entrypoint', [], ['/a'], [], ['/x'], ['/x']],
    ['an entrypoint that was emptied', [''], ['/a'], [], [], ['/a']],
  ];
  for (const [name, entrypoint, cmd, command, args, line] of cases)
    it(name, () => {
      assert.deepEqual(processArgs({ command, args }, { entrypoint, cmd }), line);
    });

  it('refuses a container without any command', () => {
    assert.throws(() => processArgs({ command: [], args: [] }, { entrypoint: [''], cmd: [] }), {
      code: 'invalid_argument',
    });
  });
});

describe('processChapter', () => {
  const cwd = (workingDir: string, image: string) =>
    processChapter(
      specInput({
        config: containerConfig({ command: ['x'], workingDir }),
        image: imageConfig({ workingDir: image }),
      }),
    ).cwd;

  it('takes the working directory of the container, then of the image, then the root', () => {
    assert.equal(cwd('/own', '/image'), '/own');
    assert.equal(cwd('', '/image'), '/image');
    assert.equal(cwd('', 'image/relative'), '/image/relative');
    assert.equal(cwd('', ''), '/');
  });

  it('names the node in a pod without a name of its own', () => {
    const sandbox = sandboxRow({ config: sandboxConfig({ hostname: '' }) });
    assert.ok(processChapter(specInput({ sandbox })).env.includes(`HOSTNAME=${hostname()}`));
  });

  it('asks for a terminal only with tty', () => {
    assert.equal(processChapter(specInput()).terminal, undefined);
    const config = containerConfig({ command: ['sh'], tty: true });
    assert.equal(processChapter(specInput({ config })).terminal, true);
  });
});

describe('execProcess', () => {
  const process = {
    terminal: true,
    consoleSize: { height: 1, width: 1 },
    user: { uid: 5, gid: 6, additionalGids: [6, 7] },
    args: ['init'],
    env: ['A=1'],
    cwd: '/w',
    capabilities: { bounding: ['CAP_KILL'] },
    noNewPrivileges: true,
    oomScoreAdj: 4,
  };
  const spec = { process } as Spec;

  it('is the init with another command', () => {
    const { consoleSize: _, ...rest } = process;
    assert.deepEqual(execProcess(spec, ['ls', '-l'], false), {
      ...rest,
      terminal: false,
      args: ['ls', '-l'],
    });
  });

  it('gets TERM with a terminal unless the container has one', () => {
    assert.deepEqual(execProcess(spec, ['sh'], true).env, ['TERM=xterm', 'A=1']);
    const own = { process: { ...process, env: ['TERM=vt100'] } } as Spec;
    assert.deepEqual(execProcess(own, ['sh'], true).env, ['TERM=vt100']);
  });

  it('refuses an empty command', () => {
    assert.throws(() => execProcess(spec, [], false), { code: 'invalid_argument' });
  });
});
