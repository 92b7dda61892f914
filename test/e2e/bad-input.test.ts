import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { ErrorCode } from '../../src/base/errors.ts';
import { writeNetwork } from '../harness/cni.ts';
import { type Inventory, leaks, takeInventory } from '../harness/leaks.ts';
import { containerConfig, podConfig } from '../harness/pods.ts';
import { until } from '../harness/until.ts';
import { World } from '../harness/world.ts';

const run = promisify(execFile);
const SLEEP = ['/bin/sleep', '1000'];

/**
 * What clients and hosts do wrong: each gets the status that the kubelet
 * understands and a sentence that says what to do, and leaves nothing behind.
 */
describe('bad input', () => {
  let world: World;
  let plugins: string;
  let start: Inventory;

  before(async () => {
    world = await World.start();
    plugins = join(world.daemon.directory, 'plugins');
    await mkdir(plugins);
    await world.pull();
    start = await takeInventory(world.daemon);
  });
  after(() => world[Symbol.asyncDispose]());
  afterEach(async () => {
    const { runtime } = world.daemon.cri;
    for (const { id } of (await runtime.ListPodSandbox({})).items) await world.removePod(id);
    assert.deepEqual(await leaks(world.daemon, start), []);
  });

  const pull = (image: string) => world.daemon.cri.images.PullImage({ image: { image } });
  const newPod = async (name: string) => {
    const config = podConfig(world.daemon, name);
    const { pod_sandbox_id } = await world.daemon.cri.runtime.RunPodSandbox({ config });
    return { config, pod: pod_sandbox_id };
  };

  describe('images', () => {
    it('an unknown tag and an unknown repository', async () => {
      await fails(
        pull(`${world.registry.host}/busybox:none`),
        'not_found',
        /none of .*\/busybox: .*check the name and the tag/,
      );
      await fails(pull(`${world.registry.host}/nothing/here:1`), 'not_found', /nothing\/here/);
    });

    it('a reference that is none', async () => {
      await fails(pull('Not A Reference'), 'invalid_argument', /Not A Reference/);
    });

    it('a registry that is down', async () => {
      await fails(pull('127.0.0.1:9/busybox:1'), 'unavailable', /^RegistryUnavailable: .*127\.0\.0\.1:9/);
    });

    it('a layer whose bytes are not those of its digest', async () => {
      const manifest = JSON.parse(await readFile(world.registry.blobFile(world.digest), 'utf8'));
      const file = world.registry.blobFile(manifest.layers[0].digest);
      const whole = await readFile(file);
      const broken = Buffer.from(whole);
      broken.writeUInt8(broken.readUInt8(broken.length - 9) ^ 1, broken.length - 9);
      const { images } = world.daemon.cri;
      await images.RemoveImage({ image: { image: world.image } });
      await writeFile(file, broken);
      await assert.rejects(pull(world.image), /digest|checksum|sha256/);
      assert.deepEqual((await images.ListImages({})).images, []);
      await writeFile(file, whole);
      await world.pull();
      // The layer is in another directory now.
      start = await takeInventory(world.daemon);
    });

    it('a container of an image that is not there', async () => {
      const { config, pod } = await newPod('imageless');
      const create = world.daemon.cri.runtime.CreateContainer({
        pod_sandbox_id: pod,
        config: containerConfig('main', 'localhost/none:1', SLEEP),
        sandbox_config: config,
      });
      await fails(create, 'not_found', /localhost\/none:1.*pull/);
    });
  });

  describe('containers', () => {
    it('a command that is not in the image: exited with 128, StartError', async () => {
      const { config, pod } = await newPod('commandless');
      const { runtime } = world.daemon.cri;
      const { container_id } = await runtime.CreateContainer({
        pod_sandbox_id: pod,
        config: containerConfig('main', world.image, ['/bin/absent']),
        sandbox_config: config,
      });
      await assert.rejects(runtime.StartContainer({ container_id }), /\/bin\/absent/);
      const { status } = await runtime.ContainerStatus({ container_id });
      const { state, exit_code, reason, message } = status ?? {};
      assert.deepEqual(
        { state, exit_code, reason },
        { state: 'CONTAINER_EXITED', exit_code: 128, reason: 'StartError' },
      );
      assert.match(message ?? '', /\/bin\/absent/);
      assert.equal(await shims(), 0);
    });

    it('a user that is not in the image', async () => {
      const { config, pod } = await newPod('userless');
      const create = world.daemon.cri.runtime.CreateContainer({
        pod_sandbox_id: pod,
        config: containerConfig('main', world.image, SLEEP, {
          linux: { security_context: { run_as_username: 'nobody-here' } },
        }),
        sandbox_config: config,
      });
      await assert.rejects(create, /nobody-here/);
      assert.deepEqual((await world.daemon.cri.runtime.ListContainers({})).containers, []);
    });

    it('a second container of one name', async () => {
      const { config, pod } = await newPod('twice');
      const create = () =>
        world.daemon.cri.runtime.CreateContainer({
          pod_sandbox_id: pod,
          config: containerConfig('main', world.image, SLEEP),
          sandbox_config: config,
        });
      await create();
      await fails(create(), 'already_exists', /main/);
    });

    it('a container in a pod that was stopped', async () => {
      const { config, pod } = await newPod('stopped');
      await world.daemon.cri.runtime.StopPodSandbox({ pod_sandbox_id: pod });
      const create = world.daemon.cri.runtime.CreateContainer({
        pod_sandbox_id: pod,
        config: containerConfig('main', world.image, SLEEP),
        sandbox_config: config,
      });
      await fails(create, 'failed_precondition', /not ready/i);
    });

    it('exec and log reopening where nothing runs', async () => {
      const { container } = await world.runPod('over', ['/bin/true']);
      const { runtime } = world.daemon.cri;
      await until('the end', async () => {
        const { status } = await runtime.ContainerStatus({ container_id: container });
        return status?.state === 'CONTAINER_EXITED';
      });
      await fails(
        runtime.ExecSync({ container_id: container, cmd: ['true'] }),
        'failed_precondition',
        /not running/i,
      );
      await fails(
        runtime.ReopenContainerLog({ container_id: container }),
        'failed_precondition',
        /not running/i,
      );
    });
  });

  describe('pods', () => {
    it('a second pod of one name, namespace, uid and attempt', async () => {
      const { config, pod } = await newPod('same');
      await fails(world.daemon.cri.runtime.RunPodSandbox({ config }), 'already_exists', new RegExp(pod));
      const next = { ...config, metadata: { ...config.metadata, attempt: 1 } };
      await world.daemon.cri.runtime.RunPodSandbox({ config: next });
    });

    it('an unknown runtime handler', async () => {
      const call = world.daemon.cri.runtime.RunPodSandbox({
        config: podConfig(world.daemon, 'handler'),
        runtime_handler: 'gvisor',
      });
      await fails(call, 'not_found', /gvisor.*runc/);
    });

    it('removal and stop of what does not exist are done; a status is not found', async () => {
      const { runtime, images } = world.daemon.cri;
      await runtime.StopPodSandbox({ pod_sandbox_id: 'nothing' });
      await runtime.RemovePodSandbox({ pod_sandbox_id: 'nothing' });
      await runtime.StopContainer({ container_id: 'nothing', timeout: 1 });
      await runtime.RemoveContainer({ container_id: 'nothing' });
      await images.RemoveImage({ image: { image: 'localhost/nothing:1' } });
      await fails(runtime.PodSandboxStatus({ pod_sandbox_id: 'nothing' }), 'not_found', /nothing/);
      await fails(runtime.ContainerStatus({ container_id: 'nothing' }), 'not_found', /nothing/);
      assert.equal((await images.ImageStatus({ image: { image: 'localhost/nothing:1' } })).image, null);
    });
  });

  describe('networks', () => {
    afterEach(async () => {
      await rm(join(world.daemon.confDir, '10-test.conflist'), { force: true });
      await writeNetwork(world.daemon.confDir);
      await networkReady(world, true);
    });

    /** The pods' network becomes one whose last plugin is this shell script. */
    const usePlugin = async (script: string) => {
      const path = join(plugins, 'broken');
      await writeFile(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      await run('ln', ['-sf', path, '/usr/lib/cni/skiff-test-broken']);
      await writeNetwork(world.daemon.confDir, [{ type: 'skiff-test-broken' }]);
      await sleep(300);
    };
    after(() => rm('/usr/lib/cni/skiff-test-broken', { force: true }));

    it('a plugin that fails: its message, and what the others made is undone', async () => {
      await usePlugin(`[ "$CNI_COMMAND" = DEL ] && exit 0
        echo '{"cniVersion":"1.0.0","code":11,"msg":"no quota left in the fabric"}'; exit 1`);
      await assert.rejects(newPod('no-net'), /skiff-test-broken.*no quota left in the fabric/s);
      assert.deepEqual((await world.daemon.cri.runtime.ListPodSandbox({})).items, []);
    });

    it('a call that is cancelled while a plugin hangs', async () => {
      await usePlugin(`[ "$CNI_COMMAND" = DEL ] && exit 0; exec sleep 4218`);
      const config = podConfig(world.daemon, 'patient');
      const call = world.daemon.cri.runtime.RunPodSandbox({ config }, { timeoutMs: 700 });
      await fails(call, 'deadline_exceeded', /./);
      await until('the pod is undone', async () => (await leaks(world.daemon, start, 0)).length === 0);
    });

    it('no configuration at all: NetworkReady is false, and a pod is told why', async () => {
      await rm(join(world.daemon.confDir, '10-test.conflist'));
      await networkReady(world, false);
      await fails(newPod('alone'), 'unavailable', /CNI|network/i);
    });
  });

  describe('the socket', () => {
    it('garbage ends its own connection only', async () => {
      for (const bytes of [
        'GET / HTTP/1.1\r\n\r\n',
        '\0\xff'.repeat(5000),
        'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x01\x02',
      ]) {
        const socket = connect(world.daemon.socket);
        socket.on('error', () => undefined);
        socket.write(Buffer.from(bytes, 'latin1'));
        await sleep(100);
        socket.destroy();
      }
      assert.equal((await world.daemon.cri.runtime.Version({})).version, '0.1.0');
    });
  });
});

/** A daemon whose disk is a small tmpfs. */
describe('a full disk', () => {
  let world: World;

  before(async () => {
    world = await World.start();
    const { daemon } = world;
    await daemon.terminate();
    await rm(daemon.root, { recursive: true });
    await mkdir(daemon.root);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', daemon.root]);
    await daemon.start();
  });
  after(async () => {
    await world.daemon.terminate();
    await run('umount', [world.daemon.root]);
    await world[Symbol.asyncDispose]();
  });

  it('fails the pull as resource_exhausted and leaves no part of it; with room it goes', async () => {
    const { daemon } = world;
    const start = await takeInventory(daemon);
    await fails(world.pull(), 'resource_exhausted', /space|full/i);
    assert.deepEqual(await leaks(daemon, start), []);
    await run('mount', ['-o', 'remount,size=64m', daemon.root]);
    await world.pull();
    const { pod } = await world.runPod('roomy', SLEEP);
    await world.removePod(pod);
  });

  it('a pod on a full disk fails, and leaves nothing', async () => {
    const { daemon } = world;
    const start = await takeInventory(daemon);
    const ballast = join(daemon.directory, 'lib/ballast');
    await run('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=64k']).catch(() => undefined);
    await fails(world.runPod('full', SLEEP), 'resource_exhausted', /space|full/i);
    await rm(ballast);
    const { items } = await daemon.cri.runtime.ListPodSandbox({});
    for (const { id } of items) await world.removePod(id);
    assert.deepEqual(await leaks(daemon, start), []);
  });
});

async function fails(call: Promise<unknown>, code: ErrorCode, message: RegExp): Promise<void> {
  await assert.rejects(call, (error: Error & { code?: string }) => {
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  });
}

async function networkReady(world: World, ready: boolean): Promise<void> {
  await until(`NetworkReady is ${ready}`, async () => {
    const { status } = await world.daemon.cri.runtime.Status({});
    return status?.conditions.find((one) => one.type === 'NetworkReady')?.status === ready;
  });
}

async function shims(): Promise<number> {
  const { stdout } = await run('ps', ['-e', '-o', 'comm=,state=']);
  return stdout.split('\n').filter((line) => /^skiff-shim +[^Z]/.test(line)).length;
}
