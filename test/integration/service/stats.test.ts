import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLog } from '../../../src/base/log.ts';
import type { ContainerRow } from '../../../src/container/types.ts';
import { absoluteCgroup, killCgroup, removeCgroup } from '../../../src/os/cgroup.ts';
import { pinSandbox, unpinSandbox } from '../../../src/os/namespaces.ts';
import { run } from '../../../src/os/process.ts';
import { Stats } from '../../../src/service/stats.ts';
import { sandboxConfig, sandboxRow } from '../../unit/sandbox/config.ts';
import { until } from '../os/processes.ts';

/** Real processes in a real cgroup; run under scripts/private.sh. */
describe('statistics', () => {
  // As the kubelet names it: after the uid of the pod.
  const parent = '/skiff-stats/pod11-22';
  const cgroupPath = absoluteCgroup('cgroupfs', parent, 'c1');
  let directory: string;
  let worker: ChildProcess;
  let stats: Stats;
  let row: ContainerRow;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'skiff-stats-'));
    await mkdir(join(directory, 'upper'));
    await writeFile(join(directory, 'upper', 'file'), Buffer.alloc(100_000));
    await mkdir(cgroupPath, { recursive: true });
    worker = spawn('/bin/sh', ['-c', 'read go; while :; do :; done']);
    await writeFile(join(cgroupPath, 'cgroup.procs'), String(worker.pid));
    worker.stdin?.end('go\n');
    stats = new Stats({ collectPeriodMs: 300, stateRoot: '/state' }, { log: silentLog() });
    // Statistics read no more of a row than this.
    row = {
      id: 'c1',
      sandboxId: 'a'.repeat(64),
      cgroupPath,
      startedAt: '1',
      finishedAt: null,
      rootfs: { lowers: [], upper: join(directory, 'upper'), work: '', merged: '' },
    } as Partial<ContainerRow> as ContainerRow;
  });
  afterEach(async () => {
    stats.stop();
    const ended = worker.exitCode === null && worker.signalCode === null ? once(worker, 'exit') : undefined;
    await killCgroup(cgroupPath);
    await ended;
    await removeCgroup(absoluteCgroup('cgroupfs', '/', 'skiff-stats'));
    await rm(directory, { recursive: true });
  });

  it('tells what a busy container uses, with a rate from the second question on', async () => {
    const first = await stats.containerStats(row);
    assert.equal(first.cpu?.usageNanoCores, null);
    assert.ok(Number(first.cpu?.timestamp) > 1e18);
    assert.ok((first.memory?.rssBytes ?? 0) > 0);
    assert.ok(first.cpu?.psi !== null, 'pressure is there without controllers');
    assert.equal(first.writableLayer?.mountpoint, '/state');
    assert.ok(first.writableLayer!.usedBytes >= 100_000 && first.writableLayer!.usedBytes < 200_000);
    assert.equal(first.writableLayer?.inodesUsed, 2);
    await sleep(1100);
    const { cpu } = await stats.containerStats(row);
    const cores = Number(cpu?.usageNanoCores) / 1e9;
    assert.ok(cores > 0.05 && cores < 1.5, `a loop uses up to one core, not ${cores}`);
  });

  it('reads once per second, however many ask', async () => {
    const asked = await Promise.all(Array.from({ length: 50 }, () => stats.containerStats(row)));
    assert.equal(new Set(asked.map(({ cpu }) => cpu?.timestamp)).size, 1);
    assert.equal(
      new Set([...asked, await stats.containerStats(row)].map(({ cpu }) => cpu?.timestamp)).size,
      1,
    );
  });

  it('samples between questions', async () => {
    await stats.containerStats(row);
    await sleep(500);
    worker.kill('SIGKILL');
    await once(worker, 'exit');
    // Samples at 1, 2 and 3 s: the rate is that of an idle cgroup, not the mean since the first question.
    await sleep(3200);
    const { cpu } = await stats.containerStats(row);
    assert.equal(cpu?.usageNanoCores, '0');
  });

  it('never waits a second time for a writable layer', async () => {
    const before = (await stats.containerStats(row)).writableLayer;
    await writeFile(join(directory, 'upper', 'more'), Buffer.alloc(1_000_000));
    assert.deepEqual((await stats.containerStats(row)).writableLayer, before, 'the walk goes on behind');
    const used = async () => (await stats.containerStats(row)).writableLayer!.usedBytes;
    await until('the new file is counted', async () => (await used()) >= 1_100_000);
    assert.deepEqual((await stats.writableUsage([row])).inodesUsed, 3);
  });

  it('tells of the traffic of any first interface, and of none where there is only the loopback', async () => {
    const net = join(directory, 'net');
    await pinSandbox({ net, ipc: null, uts: null, hostname: '', sysctls: [] });
    try {
      const pod = sandboxRow(sandboxConfig(), { namespaces: { net, ipc: null, uts: null } });
      assert.equal((await stats.podSandboxStats(pod, [])).network, null);
      const ip = async (command: string) =>
        assert.equal((await run('/usr/sbin/ip', command.split(' '), { netns: net })).code, 0);
      await ip('link add one type veth peer name two');
      await ip('addr add 10.88.0.1/24 dev one');
      await ip('link set one up');
      await ip('link set two up');
      // A neighbour whose address is known, so that the datagram goes out at once. /dev/udp is bash's own.
      await ip('neigh add 10.88.0.2 lladdr 02:00:00:00:00:02 dev one');
      // A link that was just set up drops what is sent until the kernel's link watch has run.
      await until('a datagram goes out', async () => {
        await run('/bin/bash', ['-c', 'echo datagram >/dev/udp/10.88.0.2/9'], { netns: net });
        const sent = (await stats.podSandboxStats(pod, [])).network?.defaultInterface?.txBytes;
        return Number(sent) >= 'datagram\n'.length;
      });
      const { network } = await stats.podSandboxStats(pod, []);
      assert.equal(network?.interfaces.length, 1);
      assert.ok(Number(network?.timestamp) > 1e18);
    } finally {
      await unpinSandbox({ net, ipc: null, uts: null });
    }
    const gone = sandboxRow(sandboxConfig(), { namespaces: { net, ipc: null, uts: null } });
    assert.equal((await stats.podSandboxStats(gone, [])).network, null);
  });

  it('tells of a pod: its cgroup, its network, its containers', async () => {
    const net = join(directory, 'net');
    await pinSandbox({ net, ipc: null, uts: null, hostname: '', sysctls: [] });
    try {
      const veth = ['link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'net1'];
      assert.equal((await run('/usr/sbin/ip', veth, { netns: net })).code, 0);
      const config = sandboxConfig({ cgroupParent: parent });
      const namespaces = { net, ipc: null, uts: null };
      const pod = sandboxRow(config, { cgroupParent: parent, namespaces });
      const exited = { ...row, id: 'c2', finishedAt: '2' };
      const told = await stats.podSandboxStats(pod, [row, exited]);
      assert.deepEqual(
        told.containers.map((container) => container.row.id),
        ['c1'],
      );
      assert.equal(told.network?.defaultInterface?.name, 'eth0');
      assert.deepEqual(
        told.network?.interfaces.map(({ name }) => name),
        ['net1'],
      );
      assert.equal(told.processCount, 1);
      assert.ok(told.io !== null, 'its own cgroup has pressure');
      assert.ok(BigInt(told.cpu!.usageCoreNanoSeconds) > 0n);

      const without = await stats.podSandboxStats({ ...pod, cgroupParent: '/shared' }, [row, exited]);
      assert.ok(BigInt(without.cpu!.usageCoreNanoSeconds) > 0n);
      assert.deepEqual([without.io, without.processCount], [null, 1]);
      const host = await stats.podSandboxStats({ ...pod, namespaces: { ...namespaces, net: null } }, []);
      assert.equal(host.network, null);
    } finally {
      await unpinSandbox({ net, ipc: null, uts: null });
    }
  });

  it('leaves out a container that has gone, and fails for it alone', async () => {
    const gone = {
      ...row,
      cgroupPath: `${cgroupPath}-gone`,
      rootfs: { ...row.rootfs, upper: `${directory}/gone` },
    };
    await assert.rejects(stats.containerStats(gone), { code: 'failed_precondition' });
    const told = await stats.listContainerStats([gone, row]);
    assert.deepEqual(
      told.map((one) => one.row),
      [row],
    );
    assert.deepEqual(await stats.writableUsage([gone]), { usedBytes: 0, inodesUsed: 0 });
  });
});
