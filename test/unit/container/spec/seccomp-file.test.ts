import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadSeccompProfile, parseSeccompProfile } from '../../../../src/container/spec/seccomp-file.ts';

const CONTEXT = { capabilities: ['CAP_SYS_ADMIN'], arch: 'x64', kernel: '6.1' };
const parse = (profile: unknown, context = CONTEXT) => parseSeccompProfile(JSON.stringify(profile), context);
const withRule = (rule: object) => ({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [rule] });

describe('parseSeccompProfile', () => {
  it('takes the OCI form as it stands', () => {
    const profile = {
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet: 1,
      architectures: ['SCMP_ARCH_X86_64'],
      flags: ['SECCOMP_FILTER_FLAG_LOG'],
      listenerPath: '/run/l.sock',
      syscalls: [
        { names: ['read', 'write'], action: 'SCMP_ACT_ALLOW' },
        {
          names: ['personality'],
          action: 'SCMP_ACT_ERRNO',
          errnoRet: 2,
          args: [{ index: 0, value: 8, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
        },
      ],
    };
    assert.deepEqual(parse(profile), profile);
  });

  it('takes the smallest profile', () => {
    const log = { defaultAction: 'SCMP_ACT_LOG' };
    assert.deepEqual(parse(log), { ...log, architectures: [], syscalls: [] });
  });

  it("resolves Docker's archMap, single names and conditions", () => {
    const profile = {
      defaultAction: 'SCMP_ACT_ERRNO',
      archMap: [
        { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
        { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] },
      ],
      syscalls: [
        { name: 'single', action: 'SCMP_ACT_ALLOW' },
        { names: ['by-cap'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_SYS_ADMIN'] } },
        {
          names: ['by-other-cap'],
          action: 'SCMP_ACT_ALLOW',
          includes: { caps: ['CAP_SYS_ADMIN', 'CAP_BPF'] },
        },
        { names: ['not-by-cap'], action: 'SCMP_ACT_ALLOW', excludes: { caps: ['CAP_SYS_ADMIN'] } },
        { names: ['by-arch'], action: 'SCMP_ACT_ALLOW', includes: { arches: ['amd64', 'x32'] } },
        { names: ['by-other-arch'], action: 'SCMP_ACT_ALLOW', includes: { arches: ['arm64'] } },
        { names: ['not-by-arch'], action: 'SCMP_ACT_ALLOW', excludes: { arches: ['amd64'] } },
        { names: ['by-kernel'], action: 'SCMP_ACT_ALLOW', includes: { minKernel: '4.8' } },
        { names: ['by-later-kernel'], action: 'SCMP_ACT_ALLOW', includes: { minKernel: '6.10' } },
        { names: ['not-by-kernel'], action: 'SCMP_ACT_ALLOW', excludes: { minKernel: '6.1' } },
      ],
    };
    const parsed = parse(profile);
    assert.deepEqual(parsed.architectures, ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86']);
    assert.deepEqual(
      parsed.syscalls?.flatMap((rule) => rule.names),
      ['single', 'by-cap', 'by-arch', 'by-kernel'],
    );
  });

  const argument = { index: 0, value: 1, op: 'SCMP_CMP_EQ' };
  const refused: [profile: unknown, place: RegExp][] = [
    [[], /the profile is not an object/],
    [{}, /defaultAction is undefined/],
    [{ defaultAction: 'ALLOW' }, /defaultAction is "ALLOW"/],
    [{ defaultAction: 'SCMP_ACT_LOG', syscalls: {} }, /syscalls is not a list/],
    [withRule({ action: 'SCMP_ACT_ALLOW' }), /syscalls\[0\] names no system call/],
    [withRule({ names: ['x'], action: 'NO' }), /syscalls\[0\]\.action is "NO"/],
    [withRule({ names: [7], action: 'SCMP_ACT_ALLOW' }), /syscalls\[0\]\.names/],
    [
      withRule({ names: ['x'], action: 'SCMP_ACT_ALLOW', args: [{ ...argument, index: 6 }] }),
      /args\[0\]\.index is 6/,
    ],
    [
      withRule({ names: ['x'], action: 'SCMP_ACT_ALLOW', args: [{ ...argument, op: '==' }] }),
      /args\[0\]\.op/,
    ],
    [
      withRule({ names: ['x'], action: 'SCMP_ACT_ALLOW', args: [{ ...argument, value: 2 ** 60 }] }),
      /args\[0\]\.value/,
    ],
    [
      { defaultAction: 'SCMP_ACT_LOG', architectures: ['A'], archMap: [{}] },
      /both architectures and archMap/,
    ],
  ];
  for (const [profile, place] of refused)
    it(`refuses ${JSON.stringify(profile)}`, () => {
      assert.throws(() => parse(profile), place);
    });
});

describe('loadSeccompProfile', () => {
  const load = (path: string) => loadSeccompProfile(path, CONTEXT);

  it('refuses relative, missing and broken files by their path', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'sk-seccomp-'));
    try {
      const broken = join(dir, 'broken.json');
      await writeFile(broken, '{"defaultAction":');
      await assert.rejects(load('profile.json'), { code: 'invalid_argument', message: /must be absolute/ });
      await assert.rejects(load(join(dir, 'none.json')), {
        code: 'invalid_argument',
        message: /none\.json: no such file/,
      });
      await assert.rejects(load(broken), { code: 'invalid_argument', message: /broken\.json: .*JSON/ });
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
