import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { World } from '../harness/world.ts';

const METRICS = 'http://127.0.0.1:9338/metrics';

/** What operators and the kubelet ask beside the calls that run pods, of a daemon that runs some. */
describe('operations', () => {
  let world: World;

  before(async () => {
    world = await World.start({ tables: '[metrics]\naddress = "127.0.0.1:9338"\n' });
    await world.pull();
  });
  after(() => world[Symbol.asyncDispose]());

  const metric = async (series: string): Promise<number | undefined> => {
    const lines = (await (await fetch(METRICS)).text()).split('\n');
    const line = lines.find((one) => one.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  };

  it('the streamed lists and the metrics show the pods that run', async () => {
    const { runtime, images } = world.daemon.cri;
    const pods = [await world.runPod('a', ['sleep', '1000']), await world.runPod('b', ['sleep', '1000'])];
    const containers = (await Array.fromAsync(runtime.StreamContainers({}))).flatMap((m) => m.containers);
    assert.deepEqual(
      containers.map(({ id, state }) => [id, state]),
      pods.map(({ container }) => [container, 'CONTAINER_RUNNING']),
    );
    const [first, second] = pods;
    const filter = { id: second?.pod };
    const sandboxes = await Array.fromAsync(runtime.StreamPodSandboxes({ filter }));
    assert.deepEqual(
      sandboxes.map((m) => m.pod_sandboxes.map(({ id }) => id)),
      [[second?.pod]],
    );
    const stats = await Array.fromAsync(runtime.StreamPodSandboxStats({ filter: { id: first?.pod } }));
    assert.equal(
      stats[0]?.pod_sandbox_stats[0]?.linux?.containers[0]?.attributes?.id,
      first?.container,
      'with the container of the pod',
    );
    assert.equal((await Array.fromAsync(images.StreamImages({})))[0]?.images.length, 1);
    assert.equal(await metric('skiff_shims_running'), 2);
    assert.equal(await metric('skiff_sandboxes{state="ready"}'), 2);
    assert.equal(await metric('skiff_cri_calls_total{method="RunPodSandbox",code="ok"}'), 2);
    assert.equal(await metric('skiff_image_pulls_total{code="ok"}'), 1);
    for (const { pod } of pods) await world.removePod(pod);
    assert.equal(await metric('skiff_shims_running'), 0);
    assert.equal(await metric('skiff_containers{state="exited"}'), 0);
  });

  it('the limits that a pod is told of outlive the daemon', async () => {
    const { pod } = await world.runPod('c', ['sleep', '1000']);
    const change = { pod_sandbox_id: pod, resources: { cpu_shares: 512, memory_limit_in_bytes: 67_108_864 } };
    await world.daemon.cri.runtime.UpdatePodSandboxResources(change);
    await world.daemon.kill();
    await world.daemon.start();
    const { runtime } = world.daemon.cri;
    const { info } = await runtime.PodSandboxStatus({ pod_sandbox_id: pod, verbose: true });
    const { config } = JSON.parse(info.info ?? '') as { config: { resources: Record<string, unknown> } };
    assert.deepEqual([config.resources.cpuShares, config.resources.memoryLimitInBytes], [512, 67_108_864]);
    await world.removePod(pod);
  });
});
