import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DEFAULT_CAPABILITIES } from '../../../../src/container/spec/capabilities.ts';
import { defaultSeccompProfile } from '../../../../src/container/spec/seccomp.ts';
import { ALWAYS_ALLOWED } from '../../../../src/container/spec/seccomp-default.ts';
import type { SeccompSyscall } from '../../../../src/oci/runtime-spec.ts';

const rulesFor = (name: string, capabilities: readonly string[] = [], arch = 'x64'): SeccompSyscall[] =>
  (defaultSeccompProfile(capabilities, arch).syscalls ?? []).filter((rule) => rule.names.includes(name));
const isFree = (name: string, capabilities: readonly string[] = [], arch = 'x64') =>
  rulesFor(name, capabilities, arch).some(
    (rule) => rule.action === 'SCMP_ACT_ALLOW' && rule.args === undefined,
  );

describe('defaultSeccompProfile', () => {
  it('names every call once in its table', () => {
    assert.equal(new Set(ALWAYS_ALLOWED).size, ALWAYS_ALLOWED.length);
    assert.ok(ALWAYS_ALLOWED.every((name) => /^[a-z_][a-z0-9_]*$/.test(name)));
  });

  it('forbids with EPERM what it does not name', () => {
    assert.equal(defaultSeccompProfile([]).defaultAction, 'SCMP_ACT_ERRNO');
    for (const name of [
      ...[
        'mount',
        'unshare',
        'setns',
        'bpf',
        'keyctl',
        'add_key',
        'request_key',
        'io_uring_setup',
        'userfaultfd',
      ],
      ...[
        'perf_event_open',
        'kexec_load',
        'init_module',
        'swapon',
        'pivot_root',
        'reboot',
        'open_by_handle_at',
      ],
      ...['move_pages', 'nfsservctl', 'iopl', 'settimeofday', 'chroot', 'syslog', 'clone', 'socket'],
    ])
      assert.ok(!isFree(name), name);
  });

  const byCapability: [capability: string, names: string[]][] = [
    [
      'CAP_SYS_ADMIN',
      ['mount', 'umount2', 'unshare', 'setns', 'clone', 'clone3', 'sethostname', 'bpf', 'syslog'],
    ],
    ['CAP_SYS_CHROOT', ['chroot']],
    ['CAP_SYS_MODULE', ['init_module', 'finit_module', 'delete_module']],
    ['CAP_SYS_BOOT', ['reboot']],
    ['CAP_SYS_TIME', ['settimeofday', 'clock_settime', 'clock_settime64', 'stime']],
    ['CAP_SYS_PTRACE', ['kcmp', 'pidfd_getfd', 'process_madvise']],
    ['CAP_SYS_RAWIO', ['iopl', 'ioperm']],
    ['CAP_SYS_NICE', ['mbind', 'get_mempolicy', 'set_mempolicy']],
    ['CAP_DAC_READ_SEARCH', ['open_by_handle_at']],
    ['CAP_SYSLOG', ['syslog']],
    ['CAP_BPF', ['bpf']],
    ['CAP_PERFMON', ['perf_event_open']],
    ['CAP_SYS_PACCT', ['acct']],
    ['CAP_SYS_TTY_CONFIG', ['vhangup']],
  ];
  for (const [capability, names] of byCapability)
    it(`allows with ${capability}: ${names.join(' ')}`, () => {
      for (const name of names) {
        assert.ok(isFree(name, [capability]), name);
        assert.ok(
          !isFree(
            name,
            DEFAULT_CAPABILITIES.filter((held) => held !== capability),
          ),
          name,
        );
      }
    });

  it('lets clone make processes and threads, not namespaces, and hides clone3', () => {
    const flags = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000];
    const mask = flags.reduce((all, flag) => all + flag, 0);
    assert.deepEqual(rulesFor('clone')[0]?.args, [
      { index: 0, op: 'SCMP_CMP_MASKED_EQ', value: mask, valueTwo: 0 },
    ]);
    assert.equal(rulesFor('clone', [], 's390x')[0]?.args?.[0]?.index, 1);
    assert.deepEqual(rulesFor('clone3'), [{ names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 }]);
    assert.equal(rulesFor('clone3', ['CAP_SYS_ADMIN']).length, 1);
  });

  it('allows sockets of every family but AF_ALG and AF_VSOCK', () => {
    const compare = {
      SCMP_CMP_LT: (a: number, b: number) => a < b,
      SCMP_CMP_EQ: (a: number, b: number) => a === b,
      SCMP_CMP_GT: (a: number, b: number) => a > b,
    };
    const allowed = (family: number) =>
      rulesFor('socket').some((rule) => {
        const [arg, ...rest] = rule.args ?? [];
        assert.deepEqual(rest, [], 'one comparison a rule');
        return arg !== undefined && compare[arg.op as keyof typeof compare](family, arg.value);
      });
    const forbidden = Array.from({ length: 60 }, (_, family) => family).filter((family) => !allowed(family));
    assert.deepEqual(forbidden, [38, 40]);
  });

  it('names all ABIs of an architecture and its own calls', () => {
    assert.deepEqual(defaultSeccompProfile([], 'x64').architectures, [
      'SCMP_ARCH_X86_64',
      'SCMP_ARCH_X86',
      'SCMP_ARCH_X32',
    ]);
    assert.ok(isFree('arch_prctl'));
    assert.ok(!isFree('arch_prctl', [], 'arm64'));
    assert.ok(isFree('cacheflush', [], 'arm64'));
    assert.deepEqual(defaultSeccompProfile([], 'unheard-of').architectures, []);
  });
});
