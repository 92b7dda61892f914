import { access, readdir, readFile, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileIfThere } from '../base/files.ts';
import { CGROUP_ROOT, controllers } from './cgroup.ts';

/** What this host and this process can do for a container. */
export interface HostFacts {
  /** Controllers of the cgroup v2 hierarchy. */
  controllers: ReadonlySet<string>;
  /** The host's cgroups are v2 alone, so a container can have a cgroup namespace. */
  cgroupV2: boolean;
  /** The memory controller also counts swap. */
  swapAccounting: boolean;
  /** Options of the host's own cgroup2 mount that a mount sharing its superblock must repeat. */
  cgroupMountOptions: readonly string[];
  /** The lowest oom_score_adj that this process may give to its children. */
  oomScoreAdjFloor: number;
  /** What this process holds: the effective set of /proc/PID/status, in hexadecimal. */
  capabilityMask: string;
  seccomp: boolean;
  apparmor: boolean;
  selinux: boolean;
}

/** Magic number of cgroup v2, <linux/magic.h>. */
const CGROUP2_SUPER_MAGIC = 0x63677270;
/** Bit of CAP_SYS_RESOURCE, <linux/capability.h>. */
const CAP_SYS_RESOURCE = 24n;
const LOWEST_OOM_SCORE_ADJ = -1000;
/** cgroup v2 options that belong to the superblock and change with every mount of it in the host's namespace. */
const SUPERBLOCK_OPTIONS = ['nsdelegate', 'memory_recursiveprot'];

/** Reads all facts anew; they change only with a reboot, but for the controllers. */
export async function readHostFacts(): Promise<HostFacts> {
  const status = await readFile('/proc/self/status', 'utf8');
  const capabilityMask = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
  const found = await controllers();
  return {
    controllers: found,
    cgroupV2: (await statfs(CGROUP_ROOT)).type === CGROUP2_SUPER_MAGIC,
    swapAccounting: found.has('memory') && (await countsSwap()),
    cgroupMountOptions: superblockOptions(await readFile('/proc/self/mountinfo', 'utf8')),
    oomScoreAdjFloor: await oomScoreAdjFloor(capabilityMask),
    capabilityMask,
    seccomp: /^Seccomp:/m.test(status),
    apparmor: (await readFileIfThere('/sys/module/apparmor/parameters/enabled'))?.startsWith('Y') ?? false,
    selinux: await there('/sys/fs/selinux/enforce'),
  };
}

async function oomScoreAdjFloor(capabilityMask: string): Promise<number> {
  if (((BigInt(`0x${capabilityMask}`) >> CAP_SYS_RESOURCE) & 1n) === 1n) return LOWEST_OOM_SCORE_ADJ;
  return Number(await readFile('/proc/self/oom_score_adj', 'utf8'));
}

/** The root cgroup has no limits, so its children are asked. */
async function countsSwap(): Promise<boolean> {
  const entries = await readdir(CGROUP_ROOT, { withFileTypes: true });
  for (const entry of entries)
    if (entry.isDirectory() && (await there(join(CGROUP_ROOT, entry.name, 'memory.swap.max')))) return true;
  return false;
}

/** Of proc_pid_mountinfo(5): the last field of the line whose mount point, the fifth, is the cgroup root. */
function superblockOptions(mountinfo: string): string[] {
  const line = mountinfo.split('\n').findLast((text) => text.split(' ')[4] === CGROUP_ROOT);
  const options = line?.split(' ').at(-1)?.split(',') ?? [];
  return SUPERBLOCK_OPTIONS.filter((option) => options.includes(option));
}

async function there(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
