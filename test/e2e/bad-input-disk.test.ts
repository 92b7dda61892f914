import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { errnoOf } from '../../src/base/errors.ts';
import { containerConfig, podConfig } from '../harness/pods.ts';
import { leavesNothing, refused } from '../harness/refusal.ts';
import { until } from '../harness/until.ts';
import { World } from '../harness/world.ts';

const run = promisify(execFile);
const FULL = /ENOSPC|no space left|disk is full/i;

/** A daemon whose root is a small tmpfs of its own, which the tests fill to the last byte. */
describe('bad input: a full disk', () => {
  let world: World;
  before(async () => {
    world = await World.start();
    const { daemon } = world;
    await daemon.terminate();
    await rm(daemon.root, { recursive: true });
    await mkdir(daemon.root);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', daemon.root]);
    await daemon.start();
  });
  after(async () => {
    await world.daemon.terminate();
    await run('umount', [world.daemon.root]);
    await world[Symbol.asyncDispose]();
  });
  afterEach(() => free());
  const clean = (body: () => Promise<void>) => leavesNothing(() => world.daemon, body);

  const ballast = () => join(world.daemon.directory, 'lib', 'ballast');
  const fill = async () => {
    const file = await open(ballast(), 'a');
    try {
      for (const size of [65_536, 4096, 1]) while (await written(file.write(Buffer.alloc(size))));
    } finally {
      await file.close();
    }
  };
  const free = () => rm(ballast(), { force: true });
  /** A daemon that has just started has the smallest database: nothing in it can be written over. */
  const restart = async () => {
    await world.daemon.terminate();
    await world.daemon.start();
  };
  const runPod = (name: string) =>
    world.daemon.cri.runtime.RunPodSandbox({ config: podConfig(world.daemon, name) });

  it(
    'fails a pull with resource_exhausted and keeps no part of it; with room it goes',
    clean(async () => {
      const { images } = world.daemon.cri;
      await fill();
      await refused(world.pull(), 'resource_exhausted', FULL);
      await free();
      assert.deepEqual((await images.ListImages({})).images, []);
      await images.RemoveImage({ image: { image: await world.pull() } });
    }),
  );

  describe('with an image on it', () => {
    before(() => world.pull());

    it(
      'fails a pod with resource_exhausted; the same call goes when there is room',
      clean(async () => {
        const config = podConfig(world.daemon, 'roomless');
        await fill();
        await refused(world.daemon.cri.runtime.RunPodSandbox({ config }), 'resource_exhausted', FULL);
        assert.deepEqual((await world.daemon.cri.runtime.ListPodSandbox({})).items, []);
        await free();
        const { pod_sandbox_id } = await until('the pod runs', () =>
          world.daemon.cri.runtime.RunPodSandbox({ config }).catch(() => undefined),
        );
        await world.removePod(pod_sandbox_id);
      }),
    );

    it(
      'fails a container with resource_exhausted; the same call goes when there is room',
      clean(async () => {
        const { runtime } = world.daemon.cri;
        const { pod_sandbox_id } = await runPod('crowded');
        const call = { pod_sandbox_id, config: containerConfig('c', world.image, ['true']) };
        await fill();
        await refused(runtime.CreateContainer(call), 'resource_exhausted', FULL);
        assert.deepEqual((await runtime.ListContainers({})).containers, []);
        await free();
        const { container_id } = await runtime.CreateContainer(call);
        await runtime.StartContainer({ container_id });
        await world.removePod(pod_sandbox_id);
      }),
    );

    it(
      'fails what is too large to be written down, and only that',
      clean(async () => {
        const annotations = Object.fromEntries(
          Array.from({ length: 10 }, (_, i) => [`a${i}`, 'x'.repeat(1024 * 1024)]),
        );
        const config = podConfig(world.daemon, 'huge', { annotations });
        await run('mount', ['-o', 'remount,size=8m', world.daemon.root]);
        try {
          const others = ['a', 'b'].map((name) => runPod(name));
          await refused(
            world.daemon.cri.runtime.RunPodSandbox({ config }),
            'resource_exhausted',
            /write state.*free some disk space/,
          );
          for (const { pod_sandbox_id } of await Promise.all(others)) await world.removePod(pod_sandbox_id);
        } finally {
          await run('mount', ['-o', 'remount,size=16m', world.daemon.root]);
        }
      }),
    );

    it(
      'does not keep a container that filled it from being stopped and removed, which frees it',
      clean(async () => {
        await restart();
        const { runtime } = world.daemon.cri;
        const { pod, container } = await world.runPod('greedy', [
          'sh',
          '-c',
          'cat /dev/zero >/big; exec sleep 1000',
        ]);
        await until('the disk is full', async () => {
          const { stdout } = await run('df', ['--output=avail', world.daemon.root]);
          return Number(stdout.split('\n')[1]) === 0;
        });
        assert.equal((await runtime.ListPodSandbox({})).items.length, 1);
        assert.equal((await runtime.ExecSync({ container_id: container, cmd: ['true'] })).exit_code, 0);
        await runtime.StopContainer({ container_id: container, timeout: 1 });
        await runtime.RemoveContainer({ container_id: container });
        await world.removePod(pod);
      }),
    );

    it(
      'does not hide the end of a container: its exit code is there',
      clean(async () => {
        await restart();
        const { runtime } = world.daemon.cri;
        const { pod, container } = await world.runPod('mortal', ['sh', '-c', 'sleep 0.7; exit 7']);
        await fill();
        await sleep(1200);
        await free();
        const { status } = await until('it has exited', async () => {
          const reply = await runtime.ContainerStatus({ container_id: container });
          return reply.status?.state === 'CONTAINER_EXITED' ? reply : undefined;
        });
        assert.equal(status?.exit_code, 7);
        await world.removePod(pod);
      }),
    );

    it(
      'does not keep the daemon from starting, from knowing what runs, and from ending it',
      clean(async () => {
        const { daemon } = world;
        const { pod, container } = await world.runPod('lasting', ['sleep', '1000']);
        await daemon.terminate();
        await fill();
        await daemon.start();
        const { status } = await daemon.cri.runtime.PodSandboxStatus({ pod_sandbox_id: pod });
        assert.equal(status?.state, 'SANDBOX_READY');
        const { status: running } = await daemon.cri.runtime.ContainerStatus({ container_id: container });
        assert.equal(running?.state, 'CONTAINER_RUNNING');
        assert.equal(
          (await daemon.cri.runtime.ExecSync({ container_id: container, cmd: ['true'] })).exit_code,
          0,
        );
        await daemon.cri.runtime.StopContainer({ container_id: container, timeout: 0 });
        assert.equal(
          (await daemon.cri.runtime.ContainerStatus({ container_id: container })).status?.exit_code,
          137,
        );
        await world.removePod(pod);
        await free();
      }),
    );
  });
});

/** False where there is no room for it. */
async function written(write: Promise<{ bytesWritten: number }>): Promise<boolean> {
  try {
    return (await write).bytesWritten > 0;
  } catch (cause) {
    if (errnoOf(cause) === 'ENOSPC') return false;
    throw cause;
  }
}
