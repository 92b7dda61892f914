import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Inventory, leaks, takeInventory } from '../harness/leaks.ts';
import { logTexts } from '../harness/pods.ts';
import { until } from '../harness/until.ts';
import { type RunningPod, World } from '../harness/world.ts';

const run = promisify(execFile);
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
/** Writes a numbered line about each millisecond. */
const COUNT = 'i=0; while :; do echo $i; i=$((i+1)); usleep 1000; done';

/** A daemon that ends, in each of the ways there are, and the next one on what it left. */
describe('restart', () => {
  let world: World;
  let start: Inventory;

  before(async () => {
    world = await World.start();
    await world.pull();
    start = await takeInventory(world.daemon);
  });
  after(() => world[Symbol.asyncDispose]());

  const status = async ({ container }: RunningPod) => {
    const reply = await world.daemon.cri.runtime.ContainerStatus({ container_id: container, verbose: true });
    assert.ok(reply.status);
    return { ...reply.status, info: JSON.parse(reply.info.info ?? '{}') as { pid?: number } };
  };
  const address = async ({ pod }: RunningPod) =>
    (await world.daemon.cri.runtime.PodSandboxStatus({ pod_sandbox_id: pod })).status?.network?.ip;
  const endRemoved = async (pod: RunningPod) => {
    await world.removePod(pod.pod);
    assert.deepEqual(await leaks(world.daemon, start), []);
  };

  for (const way of ['kill', 'terminate'] as const) {
    it(`${way}: running pods are as they were, and go on`, async () => {
      const pod = await world.runPod('on', ['/bin/sh', '-c', 'exec sleep 1000']);
      const was = { ...(await status(pod)), address: await address(pod) };
      await world.daemon[way]();
      await world.daemon.start();
      assert.deepEqual({ ...(await status(pod)), address: await address(pod) }, was);
      const { exit_code } = await world.daemon.cri.runtime.ExecSync({
        container_id: pod.container,
        cmd: ['true'],
      });
      assert.equal(exit_code, 0);
      await endRemoved(pod);
    });
  }

  it('no line of a log is lost while there is no daemon', async () => {
    const pod = await world.runPod('counter', ['/bin/sh', '-c', COUNT]);
    await sleep(200);
    await world.daemon.kill();
    const linesThen = logTexts(await readFile(pod.log, 'utf8')).length;
    await sleep(300);
    await world.daemon.start();
    await sleep(200);
    await world.daemon.cri.runtime.StopContainer({ container_id: pod.container, timeout: 0 });
    const texts = logTexts(await readFile(pod.log, 'utf8'));
    assert.ok(texts.length > linesThen + 50, `${texts.length} lines, ${linesThen} of them before the kill`);
    assert.deepEqual(
      texts,
      texts.map((_, index) => String(index)),
    );
    await endRemoved(pod);
  });

  it('a log is reopened by the next daemon', async () => {
    const pod = await world.runPod('rotated', ['/bin/sh', '-c', COUNT]);
    await world.daemon.kill();
    await world.daemon.start();
    await run('mv', [pod.log, `${pod.log}.1`]);
    await world.daemon.cri.runtime.ReopenContainerLog({ container_id: pod.container });
    await until('lines in the new file', async () => (await readFile(pod.log, 'utf8')).length > 0);
    await world.daemon.cri.runtime.StopContainer({ container_id: pod.container, timeout: 0 });
    const texts = logTexts((await readFile(`${pod.log}.1`, 'utf8')) + (await readFile(pod.log, 'utf8')));
    assert.deepEqual(
      texts,
      texts.map((_, index) => String(index)),
    );
    await endRemoved(pod);
  });

  it('a container that ended meanwhile has its exit code and time', async () => {
    const pod = await world.runPod('ended', ['/bin/sh', '-c', 'sleep 0.5; exit 42']);
    await world.daemon.kill();
    const before = Date.now();
    await sleep(1200);
    await world.daemon.start();
    const { state, exit_code, reason, finished_at } = await status(pod);
    assert.deepEqual(
      { state, exit_code, reason },
      { state: 'CONTAINER_EXITED', exit_code: 42, reason: 'Error' },
    );
    const finished = Number(BigInt(finished_at) / 1_000_000n);
    assert.ok(finished > before - 500 && finished < before + 1200, `${finished - before} ms after the kill`);
    await endRemoved(pod);
  });

  it('a container whose shim was killed meanwhile ended for an unknown reason', async () => {
    const pod = await world.runPod('shimless', ['/bin/sh', '-c', 'exec sleep 1000']);
    await world.daemon.kill();
    for (const shim of await pidsOf('skiff-shim')) process.kill(shim, 'SIGKILL');
    await world.daemon.start();
    const { state, exit_code, reason } = await status(pod);
    assert.deepEqual(
      { state, exit_code, reason },
      { state: 'CONTAINER_EXITED', exit_code: 255, reason: 'Unknown' },
    );
    await endRemoved(pod);
  });

  it('a stop that was under way is done by asking again', async () => {
    const pod = await world.runPod('stubborn', [
      '/bin/sh',
      '-c',
      "trap '' TERM; while :; do sleep 0.1; done",
    ]);
    const stop = world.daemon.cri.runtime.StopContainer({ container_id: pod.container, timeout: 60 });
    stop.catch(() => undefined);
    await sleep(200);
    await world.daemon.kill();
    await world.daemon.start();
    assert.equal((await status(pod)).state, 'CONTAINER_RUNNING');
    await world.daemon.cri.runtime.StopContainer({ container_id: pod.container, timeout: 0 });
    assert.equal((await status(pod)).exit_code, 137);
    await endRemoved(pod);
  });

  describe('a reboot', () => {
    let pod: RunningPod;

    beforeEach(async () => {
      pod = await world.runPod('rebooted', ['/bin/sh', '-c', 'exec sleep 1000']);
      await world.daemon.kill();
      await reboot(world);
      await world.daemon.start();
      await run('umount', [BOOT_ID]);
    });

    it('leaves sandboxes that are not ready and can be removed', async () => {
      const { runtime } = world.daemon.cri;
      const { status: sandbox } = await runtime.PodSandboxStatus({ pod_sandbox_id: pod.pod });
      assert.equal(sandbox?.state, 'SANDBOX_NOTREADY');
      assert.equal((await status(pod)).state, 'CONTAINER_EXITED');
      assert.equal((await status(pod)).exit_code, 255);
      const { images } = await world.daemon.cri.images.ListImages({});
      assert.equal(images.length, 1);
      await endRemoved(pod);
    });
  });
});

/** What a reboot does to the runtime: every process ends, /run is empty, the boot has another id. */
async function reboot(world: World): Promise<void> {
  for (const name of ['skiff-shim', 'sleep'])
    for (const pid of await pidsOf(name)) process.kill(pid, 'SIGKILL');
  await until('all processes ended', async () => (await pidsOf('sleep')).length === 0);
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '');
  for (const mount of mounts.reverse())
    if (mount.startsWith(`${world.daemon.state}/`) || mount.startsWith('/run/netns/skiff-'))
      await run('umount', [mount]);
  await rm(world.daemon.state, { recursive: true, force: true });
  for (const name of await readdir('/run/netns')) await rm(join('/run/netns', name));
  for (const cgroup of (await readdir('/sys/fs/cgroup', { recursive: true, withFileTypes: true })).reverse())
    if (cgroup.isDirectory() && cgroup.name !== 'session')
      await run('rmdir', [join(cgroup.parentPath, cgroup.name)]).catch(() => undefined);
  const bootId = join(world.daemon.directory, 'boot_id');
  await writeFile(bootId, '11111111-2222-3333-4444-555555555555\n');
  await run('mount', ['--bind', bootId, BOOT_ID]);
}

async function pidsOf(name: string): Promise<number[]> {
  const found: number[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    if (stat.includes(`(${name}) `) && !stat.includes(') Z')) found.push(Number(pid));
  }
  return found;
}
