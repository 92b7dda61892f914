import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import type { LinuxContainerResources } from '../../src/cri/gen/runtime/v1/LinuxContainerResources.ts';
import { type Container, DRIVER, Pod, RUNTIMES, theDaemon } from './fixture.ts';

const MIB = 1024 * 1024;
const SLEEP = 'exec sleep 1000';

/** Every kind of limit. CPU shares at the ends of their range, where all formulas of conversion agree. */
const LIMITS: LinuxContainerResources = {
  cpu_shares: 2,
  cpu_quota: 20_000,
  cpu_period: 100_000,
  cpuset_cpus: '1',
  cpuset_mems: '0',
  memory_limit_in_bytes: 64 * MIB,
  memory_swap_limit_in_bytes: 96 * MIB,
  unified: { 'memory.high': String(48 * MIB), 'memory.oom.group': '1', 'pids.max': '77' },
};
const FILES = {
  'cpu.weight': '1',
  'cpu.max': '20000 100000',
  'cpuset.cpus': '1',
  'cpuset.cpus.effective': '1',
  'cpuset.mems': '0',
  'memory.max': String(64 * MIB),
  'memory.swap.max': String(32 * MIB),
  'memory.high': String(48 * MIB),
  'memory.oom.group': '1',
  'pids.max': '77',
};
const UPDATE: LinuxContainerResources = {
  cpu_shares: 262_144,
  cpu_quota: 50_000,
  cpu_period: 50_000,
  cpuset_cpus: '0-1',
  memory_limit_in_bytes: 128 * MIB,
  memory_swap_limit_in_bytes: 128 * MIB,
  unified: { 'memory.high': String(100 * MIB), 'pids.max': '99' },
};
const UPDATED = {
  ...FILES,
  'cpu.weight': '10000',
  'cpu.max': '50000 50000',
  'cpuset.cpus': '0-1',
  'cpuset.cpus.effective': '0-1',
  'memory.max': String(128 * MIB),
  'memory.swap.max': '0',
  'memory.high': String(100 * MIB),
  'pids.max': '99',
};

async function expectFiles(container: Container, files: Record<string, string>): Promise<void> {
  assert.deepEqual(await container.readAll(Object.keys(files)), files, await theDaemon().logTail(5));
}

async function update(container: Container, linux: LinuxContainerResources): Promise<void> {
  await theDaemon().cri.runtime.UpdateContainerResources({ container_id: container.id, linux });
}

for (const runtime of RUNTIMES) {
  describe(`limits under ${DRIVER} with ${runtime}`, () => {
    it('stand in the files of the container cgroup', async () => {
      await using pod = await Pod.run({}, runtime);
      await expectFiles(await pod.start(SLEEP, { linux: { resources: LIMITS } }), FILES);
    });

    it('without any, the kernel sets none', async () => {
      await using pod = await Pod.run({}, runtime);
      const files = {
        'cpu.max': 'max 100000',
        'memory.max': 'max',
        'memory.swap.max': 'max',
        'memory.high': 'max',
      };
      await expectFiles(await pod.start(SLEEP), files);
    });

    it('memory alone bounds swap as well', async () => {
      await using pod = await Pod.run({}, runtime);
      const container = await pod.start(SLEEP, { linux: { resources: { memory_limit_in_bytes: 64 * MIB } } });
      await expectFiles(container, { 'memory.max': String(64 * MIB), 'memory.swap.max': '0' });
    });

    it('an update of a running container changes what it names', async () => {
      await using pod = await Pod.run({}, runtime);
      const container = await pod.start(SLEEP, { linux: { resources: LIMITS } });
      await update(container, UPDATE);
      await expectFiles(container, UPDATED);
      const { resources } = await container.status();
      assert.equal(resources?.linux?.memory_limit_in_bytes, String(128 * MIB));
      assert.equal(resources?.linux?.cpu_quota, '50000');
    });

    it('an update of one limit leaves the others', async () => {
      await using pod = await Pod.run({}, runtime);
      const container = await pod.start(SLEEP, { linux: { resources: LIMITS } });
      await update(container, { cpu_quota: 40_000, cpu_period: 100_000 });
      await expectFiles(container, { ...FILES, 'cpu.max': '40000 100000' });
    });

    it('an update of a created container holds from its start', async () => {
      await using pod = await Pod.run({}, runtime);
      const container = await pod.create(SLEEP, { linux: { resources: LIMITS } });
      await update(container, UPDATE);
      await container.start();
      await expectFiles(container, UPDATED);
    });

    it('an update of a container that had none gives it limits, and more than once', async () => {
      await using pod = await Pod.run({}, runtime);
      const container = await pod.start(SLEEP);
      await update(container, { memory_limit_in_bytes: 64 * MIB });
      await expectFiles(container, { 'memory.max': String(64 * MIB), 'memory.swap.max': '0' });
      await update(container, { memory_limit_in_bytes: 32 * MIB });
      await expectFiles(container, { 'memory.max': String(32 * MIB), 'memory.swap.max': '0' });
      await update(container, { cpu_quota: -1 });
      await expectFiles(container, { 'cpu.max': 'max 100000' });
    });

    it('a container sees its own cgroup as the root', async () => {
      await using pod = await Pod.run({}, runtime);
      const container = await pod.start(SLEEP, { linux: { resources: LIMITS } });
      const { stdout } = await theDaemon().cri.runtime.ExecSync({
        container_id: container.id,
        cmd: ['cat', '/proc/self/cgroup', '/sys/fs/cgroup/memory.max'],
        timeout: 20,
      });
      assert.equal(stdout.toString(), `0::/\n${64 * MIB}\n`);
    });

    it('oom_score_adj is lowered below that of the daemon, and 0 where nothing is said', async () => {
      await using pod = await Pod.run({}, runtime);
      const low = await pod.start(SLEEP, { linux: { resources: { oom_score_adj: -997 } } });
      const plain = await pod.start(SLEEP);
      const score = async (container: Container) =>
        (await readFile(`/proc/${await container.pid()}/oom_score_adj`, 'utf8')).trim();
      assert.deepEqual([await score(low), await score(plain)], ['-997', '0']);
    });
  });
}
