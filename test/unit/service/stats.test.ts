import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLog } from '../../../src/base/log.ts';
import type { ContainerRow } from '../../../src/container/types.ts';
import { message } from '../../../src/cri/proto.ts';
import { containerStats, sandboxStats } from '../../../src/cri/translate/stats.ts';
import { Stats } from '../../../src/service/stats.ts';
import { containerRow, sandboxRow } from '../cri/fixtures.ts';

/** The files of a cgroup are plain text, so a plain directory makes one. */
describe('Stats', () => {
  let directory: string;
  let stats: Stats;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'skiff-stats-'));
    stats = new Stats({ collectPeriodMs: 10_000, stateRoot: '/root' }, { log: silentLog() });
  });
  afterEach(async () => {
    stats.stop();
    await rm(directory, { recursive: true });
  });

  /** A running container whose cgroup has CPU time and no process. */
  async function container(id: string, usageUs = 2000): Promise<ContainerRow> {
    const cgroupPath = join(directory, id);
    await mkdir(cgroupPath, { recursive: true });
    await mkdir(join(directory, `${id}-upper`), { recursive: true });
    await writeFile(join(cgroupPath, 'cpu.stat'), `usage_usec ${usageUs}\n`);
    await writeFile(join(cgroupPath, 'cgroup.procs'), '');
    const rootfs = { lowers: [], upper: join(directory, `${id}-upper`), work: '', merged: '' };
    return containerRow({ id, startedAt: '1', cgroupPath, rootfs });
  }

  const usageOf = async (row: ContainerRow) => (await stats.containerStats(row)).cpu?.usageCoreNanoSeconds;

  it('gives one reading to all who ask within a second, and then another with a rate', async () => {
    const row = await container('c1');
    const before = await Promise.all([stats.containerStats(row), stats.listContainerStats([row])]);
    await container('c1', 602_000);
    assert.deepEqual([before[0].cpu, before[1][0]?.cpu], [before[0].cpu, before[0].cpu]);
    assert.equal(await usageOf(row), '2000000');
    await sleep(1050);
    const { cpu } = await stats.containerStats(row);
    assert.equal(cpu?.usageCoreNanoSeconds, '602000000');
    const seconds = Number(BigInt(cpu.timestamp) - BigInt(before[0].cpu!.timestamp)) / 1e9;
    const rate = Number(cpu.usageNanoCores);
    assert.ok(Math.abs(rate * seconds - 600e6) < 6e6, `0.6 s of CPU in ${seconds} s is not ${rate}`);
  });

  it('lists only those that run, in order, without those whose cgroup is gone', async () => {
    const [a, b, c] = [await container('a'), await container('b'), await container('c')];
    const created = { ...a, startedAt: null };
    await rm(b.cgroupPath, { recursive: true });
    const listed = await stats.listContainerStats([c, { ...a, finishedAt: '2' }, created, b, a]);
    assert.deepEqual(
      listed.map(({ row }) => row.id),
      ['c', 'a'],
    );
  });

  it('refuses a container that does not run and a pod that is not ready, saying what they are', async () => {
    const row = await container('c1');
    await assert.rejects(stats.containerStats({ ...row, finishedAt: '2' }), {
      code: 'failed_precondition',
      message: 'read statistics of container c1: it is exited, not running',
    });
    await assert.rejects(stats.containerStats({ ...row, startedAt: null }), /it is created, not running/);
    await assert.rejects(stats.podSandboxStats(sandboxRow({ state: 'notready' }), []), {
      code: 'failed_precondition',
    });
  });

  it('measures many containers, each its own', async () => {
    const rows = await Promise.all(Array.from({ length: 60 }, (_, i) => container(`c${i}`, i)));
    const listed = await stats.listContainerStats(rows);
    assert.deepEqual(
      listed.map(({ cpu }) => cpu?.usageCoreNanoSeconds),
      rows.map((_, i) => String(i * 1000)),
    );
  });

  it('adds up the containers of a pod without a cgroup of its own', async () => {
    const rows = [await container('a', 1), await container('b', 2)];
    const { cpu, processCount, containers } = await stats.podSandboxStats(sandboxRow(), rows);
    assert.deepEqual([cpu?.usageCoreNanoSeconds, processCount, containers.length], ['3000', 0, 2]);
  });

  it('fills what a client takes for granted, also without controllers and without containers', async () => {
    const type = message('ContainerStats');
    const told = await stats.containerStats(await container('c1'));
    const sent = type.deserialize(type.serialize(containerStats(told)));
    assert.equal(sent.attributes?.id, 'c1');
    assert.equal(sent.attributes?.metadata?.name, 'main');
    assert.ok(Number(sent.cpu?.timestamp) > 1e18);
    assert.equal(sent.cpu?.usage_core_nano_seconds?.value, '2000000');
    assert.equal(sent.cpu?.usage_nano_cores, null);
    assert.ok(Number(sent.memory?.timestamp) > 1e18);
    assert.equal(sent.memory?.working_set_bytes, null);
    assert.deepEqual([sent.swap, sent.io], [null, null]);

    const podType = message('PodSandboxStats');
    const pod = sandboxStats(await stats.podSandboxStats(sandboxRow(), []));
    const { attributes, linux } = podType.deserialize(podType.serialize(pod));
    assert.deepEqual([attributes?.id, attributes?.metadata?.name], ['a'.repeat(64), 'web']);
    assert.ok(Number(linux?.cpu?.timestamp) > 1e18 && Number(linux?.memory?.timestamp) > 1e18);
    assert.ok(Number(linux?.process?.timestamp) > 1e18);
    assert.equal(linux?.process?.process_count?.value, '0');
    assert.equal(linux?.network, null);
  });

  it('lets the process end while it samples', async () => {
    const row = await container('c1');
    await stats.containerStats(row);
    const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout');
    assert.deepEqual(timers, []);
  });
});
