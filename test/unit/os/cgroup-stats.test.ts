import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { readCpu, readIo, readMemory, readPids, readPsi } from '../../../src/os/cgroup-stats.ts';

/** Files in the forms of Documentation/admin-guide/cgroup-v2.rst, as these machines lack the controllers. */
describe('cgroup files', () => {
  let path: string;
  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), 'skiff-cgroup-'));
  });
  afterEach(() => rm(path, { recursive: true }));
  const put = (file: string, text: string) => writeFile(join(path, file), text);

  it('counts the working set without inactive file pages, and what is left of the limit', async () => {
    await put('memory.current', '1000\n');
    await put('memory.max', '1500\n');
    await put('memory.stat', 'anon 300\nfile 700\ninactive_file 400\npgfault 7\npgmajfault 2\n');
    await put('memory.events', 'low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n');
    await put('memory.swap.current', '50\n');
    await put('memory.swap.max', 'max\n');
    assert.deepEqual(await readMemory(path), {
      usageBytes: 1000,
      workingSetBytes: 600,
      availableBytes: 900,
      rssBytes: 300,
      limitBytes: 1500,
      pageFaults: 7,
      majorPageFaults: 2,
      swapBytes: 50,
      swapLimitBytes: null,
      oomKills: 1,
    });
    await put('memory.max', 'max\n');
    await put('memory.stat', 'inactive_file 4000\n');
    const unlimited = await readMemory(path);
    assert.equal(unlimited.availableBytes, null);
    assert.equal(unlimited.workingSetBytes, 0, 'never below zero: the files are not read in one instant');
  });

  it('reads cpu, io and pressure', async () => {
    await put(
      'cpu.stat',
      'usage_usec 9007199254740993\nuser_usec 2\nsystem_usec 1\nnr_periods 5\nnr_throttled 4\nthrottled_usec 6\n',
    );
    const cpu = await readCpu(path);
    assert.equal(cpu.usageNs, 9_007_199_254_740_993_000n);
    assert.deepEqual([cpu.periods, cpu.throttledPeriods, cpu.throttledNs], [5, 4, 6000n]);
    await put(
      'io.stat',
      '8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=5 wbytes=0 rios=1 wios=0\n',
    );
    assert.deepEqual(await readIo(path), { readBytes: 15, writtenBytes: 20, readOps: 2, writeOps: 2 });
    await put('cpu.pressure', 'some avg10=1.50 avg60=0.25 avg300=0.00 total=123\n');
    const psi = await readPsi(path, 'cpu');
    assert.deepEqual(psi?.some, { avg10: 1.5, avg60: 0.25, avg300: 0, totalUs: 123n });
    assert.equal(psi?.full.totalUs, 0n);
  });

  it('counts processes of the cgroups below where there is no pids controller', async () => {
    await mkdir(join(path, 'child'));
    await put('cgroup.procs', '11\n12\n');
    await put('child/cgroup.procs', '13\n');
    assert.equal(await readPids(path), 3);
    await put('pids.current', '9\n');
    assert.equal(await readPids(path), 9);
  });

  it('has nothing to say of a cgroup that is gone', async () => {
    const gone = join(path, 'gone');
    assert.equal((await readCpu(gone)).usageNs, null);
    assert.ok(Object.values(await readMemory(gone)).every((value) => value === null));
    assert.deepEqual(
      [await readIo(gone), await readPids(gone), await readPsi(gone, 'io')],
      [null, null, null],
    );
  });
});
