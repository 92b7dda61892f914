import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mergeResources, oomScoreAdj, toOciResources } from '../../../../src/container/spec/resources.ts';
import type { LinuxResources as OciResources } from '../../../../src/oci/runtime-spec.ts';
import type { HostFacts } from '../../../../src/os/host-facts.ts';
import type { LinuxResources } from '../../../../src/sandbox/types.ts';
import { hostFacts, resources } from '../builders.ts';

const MIB = 1024 * 1024;
const STRICT = { tolerateMissingControllers: false };
const TOLERANT = { tolerateMissingControllers: true };
const BARE = hostFacts({ controllers: new Set(), swapAccounting: false });

describe('toOciResources', () => {
  const cases: [
    name: string,
    limits: Partial<LinuxResources>,
    oci: OciResources,
    host?: Partial<HostFacts>,
  ][] = [
    ['nothing given', {}, {}],
    [
      'cpu',
      { cpuShares: 512, cpuQuota: 20000, cpuPeriod: 100000 },
      { cpu: { shares: 512, quota: 20000, period: 100000 } },
    ],
    ['no cpu quota', { cpuQuota: -1 }, { cpu: { quota: -1 } }],
    ['cpusets', { cpusetCpus: '0-1', cpusetMems: '0' }, { cpu: { cpus: '0-1', mems: '0' } }],
    [
      'memory takes swap along',
      { memoryLimitInBytes: 64 * MIB },
      { memory: { limit: 64 * MIB, swap: 64 * MIB } },
    ],
    [
      'memory and swap',
      { memoryLimitInBytes: 64 * MIB, memorySwapLimitInBytes: 96 * MIB },
      { memory: { limit: 64 * MIB, swap: 96 * MIB } },
    ],
    [
      'no limit on swap',
      { memoryLimitInBytes: 64 * MIB, memorySwapLimitInBytes: -1 },
      { memory: { limit: 64 * MIB, swap: -1 } },
    ],
    [
      'no swap accounting',
      { memoryLimitInBytes: 64 * MIB, memorySwapLimitInBytes: 96 * MIB },
      { memory: { limit: 64 * MIB } },
      { swapAccounting: false },
    ],
    [
      'huge pages, zero limits too',
      {
        hugepageLimits: [
          { pageSize: '2MB', limit: 4 * MIB },
          { pageSize: '1GB', limit: 0 },
        ],
      },
      {
        hugepageLimits: [
          { pageSize: '2MB', limit: 4 * MIB },
          { pageSize: '1GB', limit: 0 },
        ],
      },
    ],
    [
      'unified as it stands',
      { unified: { 'memory.oom.group': '1', 'memory.low': '1048576', 'cgroup.freeze': '0' } },
      { unified: { 'memory.oom.group': '1', 'memory.low': '1048576', 'cgroup.freeze': '0' } },
    ],
  ];
  for (const [name, limits, oci, host = {}] of cases)
    it(name, () => {
      assert.deepEqual(toOciResources(resources(limits), hostFacts(host), STRICT), {
        resources: oci,
        warnings: [],
      });
    });

  it('is empty for a container without limits', () => {
    assert.deepEqual(toOciResources(null, BARE, STRICT), { resources: {}, warnings: [] });
  });

  const missing: [limits: Partial<LinuxResources>, field: string, controller: string][] = [
    [{ cpuShares: 2 }, 'cpu_shares', 'cpu'],
    [{ cpuQuota: 1000 }, 'cpu_quota', 'cpu'],
    [{ cpuPeriod: 1000 }, 'cpu_period', 'cpu'],
    [{ cpusetCpus: '0' }, 'cpuset_cpus', 'cpuset'],
    [{ cpusetMems: '0' }, 'cpuset_mems', 'cpuset'],
    [{ memoryLimitInBytes: MIB }, 'memory_limit_in_bytes', 'memory'],
    [{ unified: { 'memory.oom.group': '1' } }, 'unified["memory.oom.group"]', 'memory'],
    [{ unified: { 'pids.max': '10' } }, 'unified["pids.max"]', 'pids'],
  ];
  for (const [limits, field, controller] of missing)
    it(`refuses ${field} without the controller ${controller}, or leaves it out with a word`, () => {
      assert.throws(
        () => toOciResources(resources(limits), BARE, STRICT),
        (error: { code?: string; message: string }) =>
          error.code === 'failed_precondition' &&
          [field, `"${controller}"`, 'tolerate_missing_controllers'].every((word) =>
            error.message.includes(word),
          ),
      );
      const left = toOciResources(resources(limits), BARE, TOLERANT);
      assert.deepEqual(left.resources, {});
      assert.deepEqual(left.warnings, [
        `${field} is left out: this host has no cgroup v2 controller "${controller}"`,
      ]);
    });

  it('leaves out huge pages without their controller, and says so only where some were granted', () => {
    const hugepageLimits = [
      { pageSize: '2MB', limit: 0 },
      { pageSize: '1GB', limit: 1024 * MIB },
    ];
    const left = toOciResources(resources({ hugepageLimits }), BARE, STRICT);
    assert.deepEqual(left.resources, {});
    assert.equal(left.warnings.length, 1);
    assert.match(left.warnings[0] ?? '', /hugepage_limits\[1GB\]/);
  });
});

describe('mergeResources', () => {
  const current = resources({
    cpuShares: 100,
    cpuQuota: 5000,
    memoryLimitInBytes: 64 * MIB,
    memorySwapLimitInBytes: 96 * MIB,
    oomScoreAdj: 500,
    cpusetCpus: '0',
    hugepageLimits: [{ pageSize: '2MB', limit: 0 }],
    unified: { 'memory.low': '1', 'memory.oom.group': '1' },
  });

  it('leaves what is zero or empty', () => {
    assert.deepEqual(mergeResources(current, resources()), current);
  });

  it('takes what is given', () => {
    const update = {
      cpuShares: 200,
      cpuQuota: -1,
      cpuPeriod: 50000,
      cpusetCpus: '1',
      cpusetMems: '0',
      oomScoreAdj: 7,
      hugepageLimits: [{ pageSize: '2MB', limit: 2 * MIB }],
      unified: { 'memory.low': '2', 'memory.high': 'max' },
    };
    assert.deepEqual(mergeResources(current, resources(update)), {
      ...current,
      ...update,
      unified: { 'memory.low': '2', 'memory.oom.group': '1', 'memory.high': 'max' },
    });
  });

  it('takes swap along with a new memory limit, and leaves it with an unchanged one', () => {
    const grown = mergeResources(current, resources({ memoryLimitInBytes: 128 * MIB }));
    assert.deepEqual(toOciResources(grown, hostFacts(), STRICT).resources.memory, {
      limit: 128 * MIB,
      swap: 128 * MIB,
    });
    const swapOnly = mergeResources(current, resources({ memorySwapLimitInBytes: 80 * MIB }));
    assert.deepEqual(toOciResources(swapOnly, hostFacts(), STRICT).resources.memory, {
      limit: 64 * MIB,
      swap: 80 * MIB,
    });
  });

  it('is the update alone where there were no limits, and changes neither argument', () => {
    const update = resources({ cpuShares: 3 });
    assert.deepEqual(mergeResources(null, update), update);
    const before = structuredClone(current);
    mergeResources(current, resources({ unified: { 'memory.low': '9' } }));
    assert.deepEqual(current, before);
  });
});

describe('oomScoreAdj', () => {
  const able = hostFacts();
  const unable = hostFacts({ oomScoreAdjFloor: 100 });
  const cases: [
    name: string,
    wanted: number | null,
    host: HostFacts,
    tolerance: typeof STRICT,
    value: number,
    warned: boolean,
  ][] = [
    ['as sent', -997, able, STRICT, -997, false],
    ['zero for a container without limits', null, able, STRICT, 0, false],
    ['not below what can be had without limits', null, unable, STRICT, 100, false],
    ['as sent though it will fail', -997, unable, STRICT, -997, false],
    ['raised where tolerated', -997, unable, TOLERANT, 100, true],
    ['as sent above the floor', 1000, unable, TOLERANT, 1000, false],
  ];
  for (const [name, wanted, host, tolerance, value, warned] of cases)
    it(name, () => {
      const limits = wanted === null ? null : resources({ oomScoreAdj: wanted });
      const result = oomScoreAdj(limits, host, tolerance);
      assert.equal(result.value, value);
      assert.equal(result.warnings.length, warned ? 1 : 0);
    });
});
