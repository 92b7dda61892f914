import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { ADDRESSES, NETWORK, writeNetwork } from '../harness/cni.ts';
import { TestDaemon } from '../harness/daemon.ts';
import { podConfig } from '../harness/pods.ts';
import { leavesNothing, refused } from '../harness/refusal.ts';
import { until } from '../harness/until.ts';

type Deed = 'pass' | 'fail' | 'hang' | 'rubbish' | 'silence' | 'flood' | 'crash';

/**
 * A network whose plugins misbehave. The list is the real bridge, which gives an
 * address away before it is the turn of `odd`, a plugin that does what the test
 * tells it for ADD and for DEL.
 */
describe('bad input: CNI', () => {
  let daemon: TestDaemon;
  let bin: string;
  before(async () => {
    daemon = await TestDaemon.prepare();
    bin = join(daemon.directory, 'bin');
    await mkdir(bin);
    await writeFile(join(bin, 'odd'), ODD);
    await chmod(join(bin, 'odd'), 0o755);
    const config = await readFile(daemon.config, 'utf8');
    await writeFile(daemon.config, config.replace('[cni]', `[cni]\nbin_dirs = ['${bin}', '/usr/lib/cni']`));
    await writeList('odd');
    await daemon.start();
  });
  after(() => daemon[Symbol.asyncDispose]());
  beforeEach(() => plan({}));
  const clean = (body: () => Promise<void>) => leavesNothing(() => daemon, body);

  const plan = async (deeds: { ADD?: Deed; DEL?: Deed }) => {
    await rm(join(bin, 'pid'), { force: true });
    await writeFile(join(bin, 'plan.json'), JSON.stringify({ ADD: 'pass', DEL: 'pass', ...deeds }));
  };
  const writeList = (last: string) => writeNetwork(daemon.confDir, [{ type: last }]);
  /** The plugin has written its pid: it is at it. */
  const hanging = () =>
    until('the plugin runs', async () => Number(await readFile(join(bin, 'pid'), 'utf8').catch(() => '')));
  const run = (name: string, timeoutMs?: number) =>
    daemon.cri.runtime.RunPodSandbox({ config: podConfig(daemon, name) }, { timeoutMs });
  const pods = async () => (await daemon.cri.runtime.ListPodSandbox({})).items;
  const remove = async (pod_sandbox_id: string) => {
    await daemon.cri.runtime.StopPodSandbox({ pod_sandbox_id });
    await daemon.cri.runtime.RemovePodSandbox({ pod_sandbox_id });
  };
  const networkReady = async () => {
    const { status } = await daemon.cri.runtime.Status({});
    const condition = status?.conditions.find((one) => one.type === 'NetworkReady');
    assert.ok(condition);
    return condition;
  };
  const given = async () =>
    (await readdir(join(ADDRESSES, NETWORK.name))).filter((name) => /^\d+\.\d/.test(name));

  const adds: [what: string, deed: Deed, says: RegExp][] = [
    ['that fails', 'fail', /CNI plugin odd \(ADD\): no cable; plug it in \(code 100\)/],
    ['that crashes', 'crash', /CNI plugin odd \(ADD\): killed by signal 6: about to crash/],
    ['that leaves rubbish on stdout', 'rubbish', /odd.*(JSON|result)/],
    ['that says nothing', 'silence', /odd.*(JSON|result)/],
    ['that writes without end', 'flood', /odd.*(JSON|result)/],
  ];
  for (const [what, deed, says] of adds)
    it(
      `an ADD ${what} fails the pod with the plugin's name, and frees the address`,
      clean(async () => {
        await plan({ ADD: deed });
        await refused(run('a'), 'internal', says);
        assert.deepEqual(await pods(), []);
        assert.deepEqual(await given(), []);
      }),
    );

  it(
    'an ADD that hangs ends with the deadline of the call, and the plugin with it',
    clean(async () => {
      await plan({ ADD: 'hang' });
      const call = refused(run('hung', 1500), 'deadline_exceeded', /./);
      const pid = await hanging();
      await call;
      await until('the plugin is dead', () => !alive(pid));
      await until('no pod', async () => (await pods()).length === 0);
    }),
  );

  it(
    'a plugin that is missing is named, with the directories in which it was looked for',
    clean(async () => {
      await writeList('unplugged');
      try {
        await until('the list', async () => (await listInForce()).includes('unplugged'));
        await refused(
          run('a'),
          'failed_precondition',
          new RegExp(`CNI plugin "unplugged" not found in ${bin}, /usr/lib/cni: install it there`),
        );
        assert.deepEqual(await pods(), []);
        assert.deepEqual(await given(), []);
      } finally {
        await writeList('odd');
        await until('the list', async () => (await listInForce()).includes('odd'));
      }
    }),
  );
  const listInForce = async () => {
    const { info } = await daemon.cri.runtime.Status({ verbose: true });
    return JSON.stringify(info);
  };

  it(
    'an ADD that fails and cannot be undone leaves a pod that is not ready, which can be removed later',
    clean(async () => {
      await plan({ ADD: 'fail', DEL: 'fail' });
      await refused(run('stuck'), 'internal', /no cable.*clean-up failed too/);
      const [pod] = await pods();
      assert.equal(pod?.state, 'SANDBOX_NOTREADY');
      assert.ok(pod);
      await refused(daemon.cri.runtime.StopPodSandbox({ pod_sandbox_id: pod.id }), 'internal', /no cable/);
      await plan({});
      await remove(pod.id);
    }),
  );

  it(
    'a DEL that fails is told; the pod is not ready and keeps its address until a DEL succeeds',
    clean(async () => {
      const { runtime } = daemon.cri;
      const { pod_sandbox_id } = await run('leaving');
      const [address] = await given();
      assert.ok(address);
      await plan({ DEL: 'fail' });
      for (let tries = 0; tries < 2; tries++)
        await refused(
          runtime.StopPodSandbox({ pod_sandbox_id }),
          'internal',
          /CNI plugin odd \(DEL\): no cable; plug it in/,
        );
      await refused(runtime.RemovePodSandbox({ pod_sandbox_id }), 'internal', /no cable/);
      const { status } = await runtime.PodSandboxStatus({ pod_sandbox_id });
      assert.equal(status?.state, 'SANDBOX_NOTREADY');
      assert.deepEqual(await given(), [address]);
      await plan({});
      await runtime.StopPodSandbox({ pod_sandbox_id });
      assert.deepEqual(await given(), []);
      await runtime.RemovePodSandbox({ pod_sandbox_id });
    }),
  );

  it(
    'a DEL that hangs holds up neither other pods nor, once it is ended, its own',
    clean(async () => {
      const { runtime } = daemon.cri;
      const { pod_sandbox_id } = await run('slow');
      await plan({ DEL: 'hang' });
      const stop = runtime.StopPodSandbox({ pod_sandbox_id }, { timeoutMs: 700 });
      const stopped = refused(stop, 'deadline_exceeded', /./);
      const pid = await hanging();
      await plan({});
      const { pod_sandbox_id: other } = await run('other');
      await remove(other);
      await stopped;
      process.kill(pid, 'SIGKILL');
      await remove(pod_sandbox_id);
    }),
  );

  it(
    'without a configuration the network is not ready; a pod of the host network runs all the same',
    clean(async () => {
      await rm(join(daemon.confDir, '10-test.conflist'));
      const { reason, message } = await until('NetworkReady is false', async () => {
        const condition = await networkReady();
        return condition.status ? undefined : condition;
      });
      assert.equal(reason, 'NetworkPluginNotReady');
      assert.match(message, /no CNI configuration in .*: put a \.conflist file there, or install a network/);
      await refused(run('a'), 'unavailable', /no CNI configuration in .*: put a \.conflist file there/);
      const namespace_options = { network: 'NODE' as const };
      const config = podConfig(daemon, 'host', { linux: { security_context: { namespace_options } } });
      const { pod_sandbox_id } = await daemon.cri.runtime.RunPodSandbox({ config });
      await remove(pod_sandbox_id);
      await writeList('odd');
      await until('NetworkReady is true', async () => (await networkReady()).status);
      await remove((await run('again')).pod_sandbox_id);
    }),
  );

  it(
    'a configuration that cannot be read is named, and the network is not ready',
    clean(async () => {
      await writeFile(join(daemon.confDir, '10-test.conflist'), '{"cniVersion": "1.0.0", "plugins": [');
      const { message } = await until('NetworkReady is false', async () => {
        const condition = await networkReady();
        return condition.status ? undefined : condition;
      });
      assert.match(message, /10-test\.conflist/);
      await refused(run('a'), 'failed_precondition', /10-test\.conflist: the file is not JSON/);
      await writeList('odd');
      await until('NetworkReady is true', async () => (await networkReady()).status);
    }),
  );

  it(
    'a pod whose configuration went meanwhile is detached by the one that it had',
    clean(async () => {
      const { pod_sandbox_id } = await run('orphan');
      await rm(join(daemon.confDir, '10-test.conflist'));
      await until('NetworkReady is false', async () => !(await networkReady()).status);
      await remove(pod_sandbox_id);
      assert.deepEqual(await given(), []);
      await writeList('odd');
      await until('NetworkReady is true', async () => (await networkReady()).status);
    }),
  );
});

/** What plan.json beside it says for the command. In `pass` it answers as a chained plugin does: with the result so far. */
const ODD = `#!${process.execPath}
const { readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const deed = JSON.parse(readFileSync(join(__dirname, 'plan.json'), 'utf8'))[process.env.CNI_COMMAND] ?? 'pass';
const { cniVersion, prevResult = {} } = JSON.parse(readFileSync(0, 'utf8'));
const say = (value) => process.stdout.write(JSON.stringify({ cniVersion, ...value }));
const deeds = {
  pass: () => process.env.CNI_COMMAND === 'ADD' && say(prevResult),
  fail: () => {
    say({ code: 100, msg: 'no cable', details: 'plug it in' });
    process.exitCode = 1;
  },
  crash: () => {
    process.stderr.write('about to crash\\n');
    process.kill(process.pid, 'SIGABRT');
  },
  rubbish: () => process.stdout.write('Segmentation fault (not really)\\n'),
  silence: () => undefined,
  flood: () => {
    for (let i = 0; i < 512; i++) writeFileSync(1, 'x'.repeat(65536));
  },
  hang: () => {
    writeFileSync(join(__dirname, 'pid'), String(process.pid));
    setInterval(() => undefined, 1000);
  },
};
deeds[deed]();
`;

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
