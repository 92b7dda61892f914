import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CgroupFacts, cgroupFinding } from '../../../../src/cli/doctor/cgroups.ts';
import { fail, ok, warn } from '../../../../src/cli/doctor/finding.ts';
import { kernelFinding } from '../../../../src/cli/doctor/kernel.ts';
import { report } from '../../../../src/cli/doctor.ts';

function procCgroups(hierarchies: Record<string, [hierarchy: number, enabled: number]>): string {
  const rows = Object.entries(hierarchies).map(
    ([name, [hierarchy, on]]) => `${name}\t${hierarchy}\t10\t${on}`,
  );
  return `#subsys_name\thierarchy\tnum_cgroups\tenabled\n${rows.join('\n')}\n`;
}

const V2 = procCgroups({ cpu: [0, 1], memory: [0, 1], pids: [0, 1] });

function facts(changes: Partial<CgroupFacts>): CgroupFacts {
  return {
    unified: true,
    controllers: new Set(['cpu', 'memory', 'pids']),
    procCgroups: V2,
    commandLine: 'root=/dev/vda1 ro',
    tolerate: false,
    ...changes,
  };
}

describe('cgroups', () => {
  const table: [what: string, changes: Partial<CgroupFacts>, state: string, message: RegExp, fix: RegExp][] =
    [
      ['all there', {}, 'ok', /cpu, memory, pids/, /^$/],
      ['no v2', { unified: false }, 'fail', /not cgroup v2/, /systemd\.unified_cgroup_hierarchy=1/],
      [
        'hybrid: v1 has memory',
        {
          controllers: new Set(['cpu', 'pids']),
          procCgroups: procCgroups({ cpu: [0, 1], memory: [4, 1], pids: [0, 1] }),
        },
        'fail',
        /lacks memory \(in use by cgroup v1\)$/,
        /cgroup_no_v1=all; or set tolerate_missing_controllers/,
      ],
      [
        'memory switched off, as on some boards',
        { controllers: new Set(['cpu', 'pids']), commandLine: 'x cgroup_disable=memory y' },
        'fail',
        /memory \(switched off on the kernel command line\)/,
        /cgroup_enable=memory/,
      ],
      [
        'pids not compiled',
        {
          controllers: new Set(['cpu', 'memory']),
          procCgroups: procCgroups({ cpu: [0, 1], memory: [0, 1] }),
        },
        'fail',
        /pids \(not in this kernel\)/,
        /boot a kernel with the pids controller/,
      ],
      [
        'not delegated',
        { controllers: new Set(['memory', 'pids']) },
        'fail',
        /cpu \(not given to this cgroup\)/,
        /\+cpu > cgroup\.subtree_control/,
      ],
      [
        'missing, but tolerated',
        { controllers: new Set(), tolerate: true },
        'warn',
        /tolerate_missing_controllers is set: no limits/,
        /subtree_control/,
      ],
    ];
  for (const [what, changes, state, message, fix] of table) {
    it(what, () => {
      const finding = cgroupFinding(facts(changes));
      assert.equal(finding.state, state);
      assert.match(finding.message, message);
      assert.match(finding.fix, fix);
    });
  }
});

it('the kernel must know openat2(2)', () => {
  const table: [version: string, state: string][] = [
    ['4.19.0-1-amd64', 'fail'],
    ['5.5.19', 'fail'],
    ['5.6.0', 'warn'],
    ['5.10.0-30-amd64', 'warn'],
    ['5.12', 'ok'],
    ['6.1.0-18-amd64', 'ok'],
    ['10.0', 'ok'],
  ];
  for (const [version, state] of table) assert.equal(kernelFinding(version).state, state, version);
});

describe('the report', () => {
  it('says what to do below each finding and counts at the end', () => {
    const text = report([ok('a', 'fine'), warn('bb', 'so so', 'look'), fail('c', 'bad', 'mend')]);
    assert.deepEqual(text.split('\n'), [
      'ok    a   fine',
      'warn  bb  so so',
      '          -> look',
      'FAIL  c   bad',
      '          -> mend',
      '',
      '1 to mend before pods can run, 1 to look at',
    ]);
  });

  it('says when pods can run', () => {
    assert.match(report([ok('a', 'fine')]), /\npods can run; 0 to look at$/);
  });
});
