import { constants } from 'node:os';
import type { Seccomp, SeccompArgument, SeccompOperator, SeccompSyscall } from '../../oci/runtime-spec.ts';
import { ALLOWED_BY_CAPABILITY, ALWAYS_ALLOWED, ARCHITECTURES } from './seccomp-default.ts';

/** All clone(2) flags that make a namespace, of linux/sched.h: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const CLONE_NAMESPACE_FLAGS = 0x7e020000;

/** Address families of linux/socket.h whose sockets reach code outside the container's namespaces. */
const AF_ALG = 38;
const AF_VSOCK = 40;

/** Execution domains of personality(2): Linux, its 32-bit view, each also as UNAME26, and the query. */
const PERSONALITIES = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];

/**
 * The RuntimeDefault profile for a process with these bounding capabilities
 * (`CAP_` names) on an architecture as process.arch names it. What it does not
 * allow answers EPERM.
 */
export function defaultSeccompProfile(capabilities: readonly string[], arch: string = process.arch): Seccomp {
  const architecture = ARCHITECTURES[arch] ?? { abis: [], allowed: [], cloneFlags: 0 };
  const held = [...new Set(capabilities.flatMap((name) => ALLOWED_BY_CAPABILITY[name] ?? []))];
  const mayMakeNamespaces = capabilities.includes('CAP_SYS_ADMIN');
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    architectures: [...architecture.abis],
    syscalls: [
      allow([...ALWAYS_ALLOWED, ...architecture.allowed]),
      ...socketRules(),
      ...PERSONALITIES.map((value) => allow(['personality'], argument(0, 'SCMP_CMP_EQ', value))),
      ...(held.length > 0 ? [allow(held)] : []),
      ...(mayMakeNamespaces ? [] : plainCloneRules(architecture.cloneFlags)),
    ],
  };
}

/**
 * socket(2) by family: below AF_ALG, between the two, above AF_VSOCK. Three
 * rules with one comparison each, because runtimes hand several comparisons of
 * one argument to libseccomp as alternatives, and "not 38 or not 40" is always true.
 */
function socketRules(): SeccompSyscall[] {
  return [
    allow(['socket'], argument(0, 'SCMP_CMP_LT', AF_ALG)),
    allow(['socket'], argument(0, 'SCMP_CMP_EQ', AF_ALG + 1)),
    allow(['socket'], argument(0, 'SCMP_CMP_GT', AF_VSOCK)),
  ];
}

/** clone(2) without namespaces; clone3's flags lie in memory where no filter sees them, so ENOSYS sends libc back to clone. */
function plainCloneRules(flagsIndex: number): SeccompSyscall[] {
  const noNamespace = {
    index: flagsIndex,
    op: 'SCMP_CMP_MASKED_EQ',
    value: CLONE_NAMESPACE_FLAGS,
    valueTwo: 0,
  } as const;
  return [
    allow(['clone'], noNamespace),
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: constants.errno.ENOSYS },
  ];
}

function allow(names: string[], ...args: SeccompArgument[]): SeccompSyscall {
  return args.length === 0 ? { names, action: 'SCMP_ACT_ALLOW' } : { names, action: 'SCMP_ACT_ALLOW', args };
}

function argument(index: number, op: SeccompOperator, value: number): SeccompArgument {
  return { index, op, value };
}
