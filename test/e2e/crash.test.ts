import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NamespaceOption } from '../../src/cri/gen/runtime/v1/NamespaceOption.ts';
import { type Inventory, leaks, takeInventory } from '../harness/leaks.ts';
import { containerConfig, logTexts, OWN_PID, podConfig, SHARED_PID } from '../harness/pods.ts';
import { seededRandom } from '../harness/random.ts';
import { until } from '../harness/until.ts';
import { type RunningPod, World } from '../harness/world.ts';

const KILLS = Number(process.env.SKIFF_KILLS ?? 30);
const SEED = Number(process.env.SKIFF_SEED ?? Date.now() % 1_000_000);
/** A kill comes so many ms after the lives began, at most: one life takes about 400. */
const LONGEST = 600;
/** Of the pods that live side by side: one with a PID namespace per container, one with a shared one. */
const NAMESPACES = [OWN_PID, SHARED_PID];
const COUNT = 'i=0; while :; do echo $i; i=$((i+1)); usleep 1000; done';

const COMMAND = ['/bin/sh', '-c', 'echo begun; exec sleep 1000'];

/** What the daemon has said of one pod: only what it answered before it was killed. */
interface Life {
  pod: string | null;
  container: string | null;
  started: boolean;
  /** A stop or removal was asked for, so anything after it may be true. */
  ending: boolean;
}

describe('SIGKILL at random instants', () => {
  let world: World;
  let counter: RunningPod;
  let start: Inventory;

  before(async () => {
    world = await World.start();
    await world.pull();
    counter = await world.runPod('counter', ['/bin/sh', '-c', COUNT]);
    // The first exec makes a directory that lives as long as the container.
    await world.daemon.cri.runtime.ExecSync({ container_id: counter.container, cmd: ['true'] });
    start = await takeInventory(world.daemon);
  });
  after(() => world[Symbol.asyncDispose]());

  /** What is left, but for the one process that the counter makes anew all the time. */
  const left = async () => (await leaks(world.daemon, start)).filter((one) => one !== 'process: usleep');

  it(`${KILLS} times: the next daemon tells the truth and a removal leaves nothing`, async (t) => {
    t.diagnostic(`seed ${SEED} (SKIFF_SEED=${SEED} makes the same instants again)`);
    const random = seededRandom(SEED);
    for (let round = 1; round <= KILLS; round++) {
      const lives = NAMESPACES.map((namespaces, index) =>
        liveUntilKilled(world, `r${round}-${index}`, namespaces),
      );
      const instant = Math.floor(random() * LONGEST);
      await sleep(instant);
      await world.daemon.kill();
      const known = (await Promise.all(lives)).flat();
      await world.daemon.start();
      const where = `round ${round}, killed after ${instant} ms`;
      await assertTruth(world, counter, known, where);
      await removeAllBut(world, counter.pod);
      assert.deepEqual(await left(), [], `${where}: ${await world.daemon.logTail(15)}`);
    }
  });

  it('every line of the container that ran all the time is in its log', async () => {
    await world.daemon.cri.runtime.StopContainer({ container_id: counter.container, timeout: 0 });
    const texts = logTexts(await readFile(counter.log, 'utf8'));
    assert.ok(texts.length > KILLS * 50, `${texts.length} lines`);
    const wrong = texts.findIndex((text, index) => text !== String(index));
    assert.equal(wrong, -1, `line ${wrong} is ${texts[wrong]}`);
    await world.removePod(counter.pod);
  });
});

/** Pods of one container, one after another, until a call fails because the daemon is gone. */
async function liveUntilKilled(world: World, name: string, namespaces: NamespaceOption): Promise<Life[]> {
  const { runtime } = world.daemon.cri;
  const linux = { security_context: { namespace_options: namespaces } };
  const lives: Life[] = [];
  try {
    for (let turn = 0; ; turn++) {
      const life: Life = { pod: null, container: null, started: false, ending: false };
      lives.push(life);
      const config = podConfig(world.daemon, `${name}-${turn}`, { linux });
      const { pod_sandbox_id: pod } = await runtime.RunPodSandbox({ config });
      life.pod = pod;
      const { container_id: container } = await runtime.CreateContainer({
        pod_sandbox_id: pod,
        config: containerConfig('main', world.image, COMMAND, { linux }),
        sandbox_config: config,
      });
      life.container = container;
      await runtime.StartContainer({ container_id: container });
      life.started = true;
      await runtime.ExecSync({ container_id: container, cmd: ['true'], timeout: '5' });
      life.ending = true;
      await runtime.StopContainer({ container_id: container, timeout: 0 });
      await runtime.RemoveContainer({ container_id: container });
      await world.removePod(pod);
    }
  } catch {
    return lives;
  }
}

/** What was answered still holds, and what is listed is so in the kernel. */
async function assertTruth(world: World, counter: RunningPod, known: Life[], where: string): Promise<void> {
  const { runtime } = world.daemon.cri;
  const pods = (await runtime.ListPodSandbox({})).items;
  const { containers } = await runtime.ListContainers({});
  for (const life of known.filter((one) => !one.ending)) {
    if (life.pod !== null)
      assert.equal(
        pods.find((one) => one.id === life.pod)?.state,
        'SANDBOX_READY',
        `${where}: pod ${life.pod}`,
      );
    if (life.container !== null) {
      const state = containers.find((one) => one.id === life.container)?.state;
      assert.ok(
        life.started ? state === 'CONTAINER_RUNNING' : state !== undefined,
        `${where}: ${life.container} is ${state}`,
      );
    }
  }
  for (const { id, state } of pods.filter((one) => one.state === 'SANDBOX_READY'))
    assert.ok(
      existsSync(`/run/netns/skiff-${id.slice(0, 16)}`),
      `${where}: pod ${id} is ${state} without a network namespace`,
    );
  const running = containers.filter((one) => one.state === 'CONTAINER_RUNNING');
  for (const { id } of running) {
    const { exit_code } = await runtime.ExecSync({ container_id: id, cmd: ['true'], timeout: '10' });
    assert.equal(exit_code, 0, `${where}: ${id} is listed as running`);
  }
  assert.ok(
    running.some((one) => one.id === counter.container),
    `${where}: the counter runs on`,
  );
  await until(`${where}: a shim per running container`, async () => (await shims()) === running.length);
}

async function shims(): Promise<number> {
  let count = 0;
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    if (/\(skiff-shim\) [^Z]/.test(stat)) count++;
  }
  return count;
}

async function removeAllBut(world: World, keep: string): Promise<void> {
  for (const { id } of (await world.daemon.cri.runtime.ListPodSandbox({})).items)
    if (id !== keep) await world.removePod(id);
}
