import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CpuRates } from '../../../src/service/cpu-rates.ts';
import { cgroupUsage, sumUsage } from '../../../src/service/usage.ts';

describe('cgroup usage', () => {
  let path: string;
  before(async () => {
    path = await mkdtemp(join(tmpdir(), 'skiff-usage-'));
    const files = {
      'cpu.stat': 'usage_usec 2000\n',
      'cpu.pressure':
        'some avg10=1.00 avg60=2.00 avg300=3.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n',
      'memory.current': '100\n',
      'memory.max': '300\n',
      'memory.stat': 'anon 60\ninactive_file 40\n',
      'memory.swap.current': '10\n',
      'memory.swap.max': '30\n',
      'pids.current': '3\n',
    };
    for (const [file, text] of Object.entries(files)) await writeFile(join(path, file), text);
  });
  after(() => rm(path, { recursive: true }));

  it('is told in the units of CRI', async () => {
    const { cpu, memory, swap, io, processCount } = await cgroupUsage(path, new CpuRates());
    assert.equal(cpu?.usageCoreNanoSeconds, '2000000');
    assert.equal(cpu?.usageNanoCores, null);
    assert.deepEqual(cpu?.psi?.some, { total: '7000', avg10: 1, avg60: 2, avg300: 3 });
    assert.equal(cpu?.psi?.full.total, '1000');
    assert.deepEqual([memory?.usageBytes, memory?.workingSetBytes, memory?.availableBytes], [100, 60, 240]);
    assert.deepEqual([swap?.usageBytes, swap?.availableBytes], [10, 20]);
    assert.equal(io, null);
    assert.equal(processCount, 3);
  });

  it('adds up for a pod without a cgroup of its own', async () => {
    const one = await cgroupUsage(path, new CpuRates());
    const gone = await cgroupUsage(join(path, 'gone'), new CpuRates());
    const sum = sumUsage([one, one, gone]);
    assert.equal(sum.cpu?.usageCoreNanoSeconds, '4000000');
    assert.equal(sum.memory?.workingSetBytes, 120);
    assert.equal(sum.memory?.pageFaults, null);
    assert.equal(sum.processCount, 6);
    assert.equal(sum.cpu?.timestamp, one.cpu?.timestamp, 'the instant of the sample, not of the sum');
  });

  it('is nothing, but known, where there is nothing to add up', () => {
    const { cpu, memory, processCount } = sumUsage([]);
    assert.deepEqual([cpu?.usageCoreNanoSeconds, cpu?.usageNanoCores, processCount], ['0', '0', 0]);
    assert.equal(memory?.workingSetBytes, null);
    assert.ok(Number(cpu?.timestamp) > 1e18 && Number(memory?.timestamp) > 1e18);
  });
});
