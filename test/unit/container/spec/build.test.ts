import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildSpec } from '../../../../src/container/spec/build.ts';
import type { SpecInput } from '../../../../src/container/spec/input.ts';
import { namespacesChapter } from '../../../../src/container/spec/namespaces.ts';
import type { ContainerSecurity } from '../../../../src/container/types.ts';
import type { NamespaceMode } from '../../../../src/sandbox/types.ts';
import {
  containerConfig,
  hostFacts,
  mount,
  privilegedSandbox,
  resources,
  sandboxRow,
  security,
  specInput,
} from '../builders.ts';

const secured = (change: Partial<ContainerSecurity>, rest: Partial<SpecInput> = {}) =>
  specInput({ config: containerConfig({ command: ['sh'], security: security(change) }), ...rest });
const LOCALHOST = { type: 'localhost', localhostRef: 'localhost/mine' } as const;
const DEFAULT = { type: 'runtime_default', localhostRef: '' } as const;

describe('namespacesChapter', () => {
  const pinned = [
    { type: 'mount' },
    { type: 'network', path: '/run/netns/skiff-a' },
    { type: 'ipc', path: '/run/skiff/ipc' },
    { type: 'uts', path: '/run/skiff/uts' },
  ];
  const withPid = (pid: NamespaceMode, rest: Partial<SpecInput> = {}) =>
    namespacesChapter(secured({ namespaces: { ...security().namespaces, pid } }, rest));

  it('joins what the sandbox pinned and has pids and cgroups of its own', () => {
    assert.deepEqual(withPid('container'), [...pinned, { type: 'pid' }, { type: 'cgroup' }]);
  });

  it('takes the PID namespace of the pod, of the target or of the node', () => {
    const pid = (...args: Parameters<typeof withPid>) => withPid(...args).find(({ type }) => type === 'pid');
    assert.deepEqual(pid('pod', { sandbox: sandboxRow({ init: { pid: 41, startTime: '1' } }) }), {
      type: 'pid',
      path: '/proc/41/ns/pid',
    });
    assert.deepEqual(pid('target', { targetPid: 42 }), { type: 'pid', path: '/proc/42/ns/pid' });
    assert.equal(pid('node'), undefined);
    assert.throws(() => pid('pod'), { code: 'failed_precondition', message: /no init/ });
    assert.throws(() => pid('target'), { code: 'failed_precondition', message: /does not run/ });
  });

  it("uses the node's namespaces where the sandbox has none", () => {
    const sandbox = sandboxRow({ namespaces: { net: null, ipc: null, uts: null } });
    assert.deepEqual(withPid('node', { sandbox }), [{ type: 'mount' }, { type: 'cgroup' }]);
  });

  it('has no cgroup namespace when privileged or on cgroup v1', () => {
    const types = (input: SpecInput) => namespacesChapter(input).map(({ type }) => type);
    assert.ok(!types(secured({ privileged: true })).includes('cgroup'));
    assert.ok(!types(specInput({ host: hostFacts({ cgroupV2: false }) })).includes('cgroup'));
  });
});

describe('buildSpec', () => {
  it('never names the host: the pod has the name', async () => {
    const { spec } = await buildSpec(specInput());
    assert.equal(spec.hostname, undefined);
    assert.equal(spec.linux.cgroupsPath, '/pod/c');
    assert.equal(spec.root.path, '/rootfs');
    assert.equal(spec.annotations?.['io.kubernetes.cri.sandbox-id'], 'a'.repeat(64));
  });

  it('sends masked and read-only paths on, and to a privileged container none of them and no seccomp', async () => {
    const paths = { maskedPaths: ['/proc/kcore'], readonlyPaths: ['/proc/sys'] };
    const { linux } = (await buildSpec(secured(paths))).spec;
    assert.deepEqual({ maskedPaths: linux.maskedPaths, readonlyPaths: linux.readonlyPaths }, paths);
    const privileged = (
      await buildSpec(
        secured(
          { ...paths, privileged: true, seccomp: DEFAULT, apparmor: LOCALHOST },
          {
            sandbox: sandboxRow({ config: privilegedSandbox() }),
            host: hostFacts({ apparmor: true }),
          },
        ),
      )
    ).spec;
    assert.deepEqual(privileged.linux.maskedPaths, []);
    assert.deepEqual(privileged.linux.readonlyPaths, []);
    assert.equal(privileged.linux.seccomp, undefined);
    assert.equal(privileged.process.apparmorProfile, 'mine');
    assert.deepEqual(privileged.linux.resources.devices, [{ allow: true, access: 'rwm' }]);
  });

  it('denies all devices but those named', async () => {
    const devices = [{ containerPath: '/dev/mine', hostPath: '/dev/null', permissions: 'r' }];
    const { linux } = (await buildSpec(specInput({ config: containerConfig({ command: ['sh'], devices }) })))
      .spec;
    assert.deepEqual(linux.resources.devices, [
      { allow: false, access: 'rwm' },
      { allow: true, type: 'c', major: 1, minor: 3, access: 'r' },
    ]);
    assert.deepEqual(
      linux.devices?.map(({ path, type, major, minor }) => ({ path, type, major, minor })),
      [{ path: '/dev/mine', type: 'c', major: 1, minor: 3 }],
    );
  });

  it('refuses a device that is none', async () => {
    for (const hostPath of ['/dev/no-such', '/etc/passwd', '/etc/init.d']) {
      const devices = [{ containerPath: '', hostPath, permissions: '' }];
      const input = specInput({ config: containerConfig({ command: ['sh'], devices }) });
      await assert.rejects(buildSpec(input), {
        code: 'invalid_argument',
        message: new RegExp(`add device ${hostPath}`),
      });
    }
  });

  it('tells a runtime that is not runc no device rule it cannot load, and says so', async () => {
    const weak = { host: hostFacts({ capabilityMask: '1fffeffffff' }), tolerateMissingControllers: true };
    const runc = { annotations: { 'org.opencontainers.runc.version': '1.1.5' } };
    const cases: [change: Partial<SpecInput>, rules: number, warned: boolean][] = [
      [weak, 0, true],
      [{ ...weak, features: runc }, 1, false],
      [{ ...weak, tolerateMissingControllers: false }, 1, false],
      [{ ...weak, host: hostFacts() }, 1, false],
    ];
    for (const [change, rules, warned] of cases) {
      const { spec, warnings } = await buildSpec(specInput(change));
      assert.equal(spec.linux.resources.devices?.length, rules);
      assert.equal(warnings.length > 0, warned);
    }
  });

  it('gathers what was left out', async () => {
    const limits = resources({ cpuShares: 5, memoryLimitInBytes: 1024, oomScoreAdj: -998 });
    const { warnings } = await buildSpec(
      specInput({
        config: containerConfig({ command: ['sh'], resources: limits }),
        host: hostFacts({ controllers: new Set(['memory']), oomScoreAdjFloor: 0 }),
        tolerateMissingControllers: true,
      }),
    );
    assert.equal(warnings.length, 2);
    assert.match(warnings.join(), /cpu_shares.*oom_score_adj/);
  });

  it('passes on the propagation that mounts need', async () => {
    const config = containerConfig({ command: ['sh'], mounts: [mount({ propagation: 'bidirectional' })] });
    assert.equal((await buildSpec(specInput({ config }))).spec.linux.rootfsPropagation, 'rshared');
    assert.ok(!('rootfsPropagation' in (await buildSpec(specInput())).spec.linux));
  });

  it('enters an AppArmor profile by name, ignores the default where there is no AppArmor, refuses a name there', async () => {
    const profile = async (input: SpecInput) => (await buildSpec(input)).spec.process.apparmorProfile;
    const able = { host: hostFacts({ apparmor: true }) };
    assert.equal(await profile(secured({ apparmor: LOCALHOST }, able)), 'mine');
    assert.equal(await profile(secured({ apparmor: DEFAULT })), undefined);
    assert.equal(await profile(secured({ apparmor: { type: 'unconfined', localhostRef: '' } })), undefined);
    assert.equal(await profile(secured({})), undefined);
    await assert.rejects(profile(secured({ apparmor: LOCALHOST })), {
      code: 'failed_precondition',
      message: /AppArmor is not enabled/,
    });
  });

  it('refuses a seccomp profile that the kernel cannot load, and does without where none is asked', async () => {
    const host = hostFacts({ seccomp: false });
    await assert.rejects(buildSpec(secured({ seccomp: DEFAULT }, { host })), { code: 'failed_precondition' });
    assert.equal((await buildSpec(secured({}, { host }))).spec.linux.seccomp, undefined);
    await assert.rejects(buildSpec(secured({}, { unsetSeccompProfile: 'magic' })), {
      code: 'failed_precondition',
      message: /unset_seccomp_profile/,
    });
  });

  it('ignores SELinux labels on a kernel without it and refuses them where they would be lost', async () => {
    const selinux = { user: '', role: '', type: '', level: 's0:c1,c2' };
    await buildSpec(secured({ selinux }));
    await assert.rejects(buildSpec(secured({ selinux }, { host: hostFacts({ selinux: true }) })), {
      code: 'unimplemented',
    });
    await buildSpec(secured({ selinux: { ...selinux, level: '' } }, { host: hostFacts({ selinux: true }) }));
  });
});
