import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SpecInput } from '../../../../src/container/spec/input.ts';
import { mountsChapter, rootfsPropagation } from '../../../../src/container/spec/mounts.ts';
import type { Mount } from '../../../../src/container/types.ts';
import { containerConfig, hostFacts, mount, sandboxRow, security, specInput } from '../builders.ts';

const chapter = (mounts: Mount[] = [], change: Partial<SpecInput> = {}) =>
  mountsChapter(specInput({ config: containerConfig({ mounts }), ...change }));
const destinations = (...args: Parameters<typeof chapter>) =>
  chapter(...args).map(({ destination }) => destination);
const at = (destination: string, ...args: Parameters<typeof chapter>) =>
  chapter(...args).filter((entry) => entry.destination === destination);

describe('mountsChapter', () => {
  it('mounts the file systems of the kernel, then the files of the sandbox', () => {
    assert.deepEqual(destinations(), [
      ...['/proc', '/dev', '/dev/pts', '/dev/mqueue', '/sys', '/sys/fs/cgroup'],
      ...['/etc/resolv.conf', '/etc/hosts', '/etc/hostname', '/dev/shm'],
    ]);
    assert.deepEqual(at('/etc/hosts'), [
      { destination: '/etc/hosts', type: 'bind', source: '/s/hosts', options: ['rbind', 'rprivate', 'rw'] },
    ]);
  });

  it('puts parents first and keeps the order among equals', () => {
    const mounts = ['/a/b/c', '/z', '/a/b/d', '/a', '/a/b'].map((containerPath) => mount({ containerPath }));
    const asked = destinations(mounts).filter((path) => /^\/[az]/.test(path));
    assert.deepEqual(asked, ['/z', '/a', '/a/b', '/a/b/c', '/a/b/d']);
  });

  it('lets a mount take the place of a default one, however its path is written', () => {
    const mounts = ['/etc/../etc/hosts/', '/proc', '/dev/shm', 'sys'].map((containerPath) =>
      mount({ containerPath, hostPath: '/mine' }),
    );
    for (const path of ['/etc/hosts', '/proc', '/dev/shm', '/sys'])
      assert.deepEqual(
        at(path, mounts).map(({ source }) => source),
        ['/mine'],
        path,
      );
  });

  it('lets a mount on /dev take the place of all that the kernel gives below it', () => {
    const paths = destinations([mount({ containerPath: '/dev', hostPath: '/dev' })]);
    assert.deepEqual(
      paths.filter((path) => path.startsWith('/dev')),
      ['/dev', '/dev/shm'],
    );
  });

  const options: [change: Partial<Mount>, expected: string[]][] = [
    [{}, ['rbind', 'rprivate', 'rw']],
    [{ readonly: true }, ['rbind', 'rprivate', 'ro']],
    [{ propagation: 'host_to_container' }, ['rbind', 'rslave', 'rw']],
    [{ propagation: 'bidirectional' }, ['rbind', 'rshared', 'rw']],
    [{ readonly: true, recursiveReadonly: true }, ['rbind', 'rprivate', 'rro']],
  ];
  const features = { mountOptions: ['ro', 'rro'] };
  for (const [change, expected] of options)
    it(`turns ${JSON.stringify(change)} into ${expected}`, () => {
      assert.deepEqual(at('/data', [mount(change)], { features })[0]?.options, expected);
    });

  const refused: [name: string, change: Partial<Mount>, features: object, code: string, message: RegExp][] = [
    ['without readonly', { readonly: false }, features, 'invalid_argument', /readonly must be set/],
    ['with propagation', { propagation: 'host_to_container' }, features, 'invalid_argument', /private/],
    ['both ways', { propagation: 'bidirectional' }, features, 'invalid_argument', /private/],
    ['without the feature', {}, {}, 'failed_precondition', /RROUnsupported/],
  ];
  for (const [name, change, given, code, message] of refused)
    it(`refuses a recursive read-only mount ${name}`, () => {
      const mounts = [mount({ readonly: true, recursiveReadonly: true, ...change })];
      assert.throws(() => chapter(mounts, { features: given }), { code, message });
    });

  it('writes protect with a read-only root, never the shared memory', () => {
    const config = containerConfig({ security: security({ readonlyRootfs: true }) });
    for (const path of ['/etc/hosts', '/etc/hostname', '/etc/resolv.conf'])
      assert.ok(at(path, [], { config })[0]?.options.includes('ro'), path);
    assert.ok(at('/dev/shm', [], { config })[0]?.options.includes('rw'));
  });

  it('shares the memory of the host in its IPC namespace', () => {
    const sandbox = sandboxRow({ namespaces: { net: '/n', ipc: null, uts: '/u' } });
    assert.equal(at('/dev/shm', [], { sandbox })[0]?.source, '/dev/shm');
  });

  it('leaves out a file that the sandbox does not have', () => {
    const sandboxFiles = { resolvConf: '', hosts: '/s/hosts', hostname: '', shm: '/s/shm' };
    assert.ok(!destinations([], { sandboxFiles }).includes('/etc/resolv.conf'));
  });

  it('opens /sys and the host cgroups to a privileged container, with the options of the host', () => {
    const config = containerConfig({ security: security({ privileged: true }) });
    const host = hostFacts({ cgroupMountOptions: ['nsdelegate', 'memory_recursiveprot'] });
    assert.ok(at('/sys', [], { config, host })[0]?.options.includes('rw'));
    const [cgroup] = at('/sys/fs/cgroup', [], { config, host });
    assert.deepEqual(cgroup?.options.slice(-3), ['rw', 'nsdelegate', 'memory_recursiveprot']);
    const [own] = at('/sys/fs/cgroup', [], { host });
    assert.equal(own?.options.at(-1), 'ro');
  });
});

describe('rootfsPropagation', () => {
  const cases: [propagations: Mount['propagation'][], expected: string | undefined][] = [
    [[], undefined],
    [['private'], undefined],
    [['private', 'host_to_container'], 'rslave'],
    [['bidirectional', 'host_to_container'], 'rshared'],
    [['host_to_container', 'bidirectional'], 'rshared'],
  ];
  for (const [propagations, expected] of cases)
    it(`is ${expected} with ${propagations.join(' and ') || 'none'}`, () => {
      assert.equal(rootfsPropagation(propagations.map((propagation) => mount({ propagation }))), expected);
    });
});
