import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { readHostFacts } from '../../../src/os/host-facts.ts';

const shell = async (script: string) => (await promisify(execFile)('sh', ['-c', script])).stdout.trim();

describe('readHostFacts', () => {
  it('says what the kernel says of this process and its cgroups', async () => {
    const facts = await readHostFacts();
    assert.equal(facts.cgroupV2, (await shell('stat -f -c %T /sys/fs/cgroup')) === 'cgroup2fs');
    assert.deepEqual([...facts.controllers].join(' '), await shell('cat /sys/fs/cgroup/cgroup.controllers'));
    assert.equal(
      facts.swapAccounting,
      (await shell('ls /sys/fs/cgroup/*/memory.swap.max 2>/dev/null || true')) !== '',
    );
    assert.equal(facts.capabilityMask, await shell("sed -n 's/^CapEff:[^0-9a-f]*//p' /proc/self/status"));
    assert.ok(facts.seccomp);
  });

  it('names an oom_score_adj that can be set', async () => {
    const { oomScoreAdjFloor: floor } = await readHostFacts();
    assert.equal(
      await shell(`echo ${floor} >/proc/self/oom_score_adj && cat /proc/self/oom_score_adj`),
      String(floor),
    );
  });
});
