import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { CGROUPS, DRIVER, Pod, RUNTIMES, theDaemon } from './fixture.ts';

const run = promisify(execFile);
const SLEEP = 'exec sleep 1000';

/** What a client may send, and the directory that it means. */
const PARENTS: Record<typeof DRIVER, [string, string][]> = {
  cgroupfs: [
    ['/labparent/pod1', '/labparent/pod1'],
    ['labparent/pod2', '/labparent/pod2'],
    ['/labparent/pod3/', '/labparent/pod3'],
  ],
  systemd: [
    ['labparent-pod1.slice', '/labparent.slice/labparent-pod1.slice'],
    ['/labparent.slice/labparent-pod2.slice', '/labparent.slice/labparent-pod2.slice'],
    ['/labparent.slice', '/labparent.slice'],
  ],
};

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

for (const runtime of RUNTIMES) {
  describe(`cgroup parents under ${DRIVER} with ${runtime}`, () => {
    for (const [given, directory] of PARENTS[DRIVER]) {
      it(`${given} holds the containers of the pod`, async () => {
        await using pod = await Pod.run({ linux: { cgroup_parent: given } }, runtime);
        const one = await pod.start(SLEEP);
        const two = await pod.start(SLEEP);
        assert.deepEqual([dirname(await one.cgroup()), dirname(await two.cgroup())], [directory, directory]);
        assert.notEqual(await one.cgroup(), await two.cgroup());
      });
    }

    it('the cgroup of a container goes with it', async () => {
      await using pod = await Pod.run({}, runtime);
      const container = await pod.start(SLEEP);
      const cgroup = join(CGROUPS, await container.cgroup());
      assert.ok(await exists(cgroup));
      await theDaemon().cri.runtime.StopContainer({ container_id: container.id, timeout: 0 });
      await theDaemon().cri.runtime.RemoveContainer({ container_id: container.id });
      assert.equal(await exists(cgroup), false, cgroup);
    });
  });
}

describe('what the driver cannot use', () => {
  it('is refused by name', async () => {
    const wrong = DRIVER === 'systemd' ? '/kubepods/pod1' : '../outside';
    await assert.rejects(
      Pod.run({ linux: { cgroup_parent: wrong } }),
      (error: { code: string; message: string }) =>
        error.code === 'invalid_argument' && /cgroup_parent/.test(error.message),
    );
  });

  it('RuntimeConfig tells the kubelet which driver it is', async () => {
    const { linux } = await theDaemon().cri.runtime.RuntimeConfig({});
    assert.equal(linux?.cgroup_driver, DRIVER.toUpperCase());
  });
});

if (DRIVER === 'systemd') {
  describe('systemd', () => {
    for (const runtime of RUNTIMES) {
      it(`knows each container of ${runtime} as a scope with its limits`, async () => {
        await using pod = await Pod.run({ linux: { cgroup_parent: 'labscope.slice' } }, runtime);
        const resources = { memory_limit_in_bytes: 64 * 1024 * 1024, cpu_quota: 50_000, cpu_period: 100_000 };
        const container = await pod.start(SLEEP, { linux: { resources } });
        const unit = `skiff-${container.id}.scope`;
        assert.deepEqual(await show(unit, ['ActiveState', 'Slice', 'MemoryMax', 'CPUQuotaPerSecUSec']), {
          ActiveState: 'active',
          Slice: 'labscope.slice',
          MemoryMax: String(64 * 1024 * 1024),
          CPUQuotaPerSecUSec: '500ms',
        });
        // Limits must outlive what makes systemd write its own view again.
        await run('systemctl', ['daemon-reload']);
        assert.equal(await container.read('memory.max'), String(64 * 1024 * 1024));
        await theDaemon().cri.runtime.StopContainer({ container_id: container.id, timeout: 0 });
        await theDaemon().cri.runtime.RemoveContainer({ container_id: container.id });
        assert.equal((await show(unit, ['LoadState'])).LoadState, 'not-found');
      });
    }
  });
}

async function show(unit: string, properties: string[]): Promise<Record<string, string>> {
  const { stdout } = await run('systemctl', [
    'show',
    unit,
    ...properties.map((name) => `--property=${name}`),
  ]);
  return Object.fromEntries(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/=(.*)/s, 2)),
  );
}
