import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CGROUPS, type Container, DRIVER, keyed, Pod, theDaemon } from './fixture.ts';

const MIB = 1024 * 1024;
/** A second of CPU, 16 MiB of shared memory, then nothing any more. */
const WORK = 'timeout 1 yes >/dev/null; dd if=/dev/zero of=/dev/shm/fill bs=1M count=16; exec sleep 1000';

interface Figures {
  cpuNs: number;
  usage: number;
  workingSet: number;
  rss: number;
  faults: number;
}

/** The same figures as statistics give, from the cgroup's files (Documentation/admin-guide/cgroup-v2.rst). */
async function kernelFigures(cgroup: string): Promise<Figures> {
  const read = async (file: string) => (await readFile(join(CGROUPS, cgroup, file), 'utf8')).trim();
  const memory = keyed(await read('memory.stat'));
  const usage = Number(await read('memory.current'));
  return {
    cpuNs: (keyed(await read('cpu.stat')).get('usage_usec') ?? 0) * 1000,
    usage,
    workingSet: usage - (memory.get('inactive_file') ?? 0),
    rss: memory.get('anon') ?? 0,
    faults: memory.get('pgfault') ?? 0,
  };
}

/** Where the container has come to rest: its shared memory is filled. */
async function atRest(container: Container): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const shmem = keyed(await container.read('memory.stat')).get('shmem') ?? 0;
    if (shmem >= 16 * MIB) break;
    await sleep(100);
  }
  // Statistics of the last second would be given again.
  await sleep(1500);
}

/** `value` lies between the two, with room for what a page cache moves by itself. */
function between(before: number, value: unknown, afterwards: number, slack = 0): void {
  const number = Number(value);
  const low = Math.min(before, afterwards) - slack;
  const high = Math.max(before, afterwards) + slack;
  assert.ok(number >= low && number <= high, `${number} is not between ${low} and ${high}`);
}

describe(`statistics under ${DRIVER}`, () => {
  it('of a container are the figures of its cgroup', async () => {
    await using pod = await Pod.run();
    const resources = { memory_limit_in_bytes: 128 * MIB };
    const container = await pod.start(WORK, { linux: { resources } });
    await atRest(container);
    const cgroup = await container.cgroup();
    const before = await kernelFigures(cgroup);
    const { stats } = await theDaemon().cri.runtime.ContainerStats({ container_id: container.id });
    const afterwards = await kernelFigures(cgroup);
    between(before.cpuNs, stats?.cpu?.usage_core_nano_seconds?.value, afterwards.cpuNs);
    assert.ok(before.cpuNs > 0.3e9, `a second of work took ${before.cpuNs} ns`);
    between(before.usage, stats?.memory?.usage_bytes?.value, afterwards.usage, MIB / 4);
    between(before.workingSet, stats?.memory?.working_set_bytes?.value, afterwards.workingSet, MIB / 4);
    between(before.rss, stats?.memory?.rss_bytes?.value, afterwards.rss, MIB / 4);
    between(before.faults, stats?.memory?.page_faults?.value, afterwards.faults);
    assert.equal(
      Number(stats?.memory?.available_bytes?.value) + Number(stats?.memory?.working_set_bytes?.value),
      128 * MIB,
    );
  });

  it('know the rate of a busy container', async () => {
    await using pod = await Pod.run();
    const resources = { cpu_quota: 50_000, cpu_period: 100_000 };
    const container = await pod.start('exec yes >/dev/null', { linux: { resources } });
    const ask = async () =>
      (await theDaemon().cri.runtime.ContainerStats({ container_id: container.id })).stats?.cpu;
    await ask();
    await sleep(3000);
    const rate = Number((await ask())?.usage_nano_cores?.value);
    // Half a CPU at most; how much of it a busy host gives is another matter.
    assert.ok(rate > 0.05e9 && rate < 0.65e9, `${rate} ns of CPU a second`);
  });

  it('of a pod cover its containers, its processes and its own cgroup', async () => {
    const uid = '0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0';
    const parent =
      DRIVER === 'systemd' ? `labstats-pod${uid.replaceAll('-', '_')}.slice` : `/labstats/pod${uid}`;
    await using pod = await Pod.run({
      metadata: { name: 'stats', uid, namespace: 'default', attempt: 0 },
      linux: { cgroup_parent: parent },
    });
    const first = await pod.start(WORK);
    const second = await pod.start('sleep 1000 & sleep 1000 & wait');
    await atRest(first);
    const cgroup = dirname(await first.cgroup());
    assert.equal(dirname(await second.cgroup()), cgroup);
    const before = await kernelFigures(cgroup);
    const { stats } = await theDaemon().cri.runtime.PodSandboxStats({ pod_sandbox_id: pod.id });
    const afterwards = await kernelFigures(cgroup);
    between(before.cpuNs, stats?.linux?.cpu?.usage_core_nano_seconds?.value, afterwards.cpuNs);
    between(before.usage, stats?.linux?.memory?.usage_bytes?.value, afterwards.usage, MIB / 4);
    assert.equal(stats?.linux?.process?.process_count?.value, '4');
    assert.deepEqual(
      stats?.linux?.containers.map((one) => one.attributes?.id).sort(),
      [first.id, second.id].sort(),
    );
  });
});
