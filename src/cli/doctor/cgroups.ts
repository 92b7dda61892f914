import { readFile, statfs } from 'node:fs/promises';
import { readFileIfThere } from '../../base/files.ts';
import { CGROUP_ROOT, controllers } from '../../os/cgroup.ts';
import { type Check, type Finding, fail, ok, warn } from './finding.ts';

const NEEDED = ['cpu', 'memory', 'pids'];
/** <linux/magic.h> */
const CGROUP2_SUPER_MAGIC = 0x63677270;

/** What decides about the controllers of cgroup v2. */
export interface CgroupFacts {
  /** /sys/fs/cgroup is cgroup v2. */
  unified: boolean;
  controllers: ReadonlySet<string>;
  /** /proc/cgroups, /proc/cmdline */
  procCgroups: string;
  commandLine: string;
  tolerate: boolean;
}

export const cgroups: Check = async ({ config }) => {
  const type = await statfs(CGROUP_ROOT).then(
    (found) => found.type,
    () => 0,
  );
  return cgroupFinding({
    unified: type === CGROUP2_SUPER_MAGIC,
    controllers: await controllers(),
    procCgroups: (await readFileIfThere('/proc/cgroups')) ?? '',
    commandLine: await readFile('/proc/cmdline', 'utf8'),
    tolerate: config.tolerateMissingControllers,
  });
};

/** Says exactly which controllers are missing, why, and what brings each. */
export function cgroupFinding(facts: CgroupFacts): Finding {
  if (!facts.unified) {
    return fail(
      'cgroups',
      `${CGROUP_ROOT} is not cgroup v2`,
      'boot with the kernel argument systemd.unified_cgroup_hierarchy=1 (without systemd: mount -t cgroup2 none /sys/fs/cgroup)',
    );
  }
  const missing = NEEDED.filter((name) => !facts.controllers.has(name));
  if (missing.length === 0) return ok('cgroups', `v2 with ${[...facts.controllers].join(', ')}`);
  const why = missing.map((name) => `${name} (${reasonOf(name, facts)})`).join(', ');
  const fixes = [...new Set(missing.map((name) => fixOf(name, facts)))].join('; ');
  const message = `cgroup v2 lacks ${why}`;
  if (facts.tolerate) {
    return warn('cgroups', `${message}; tolerate_missing_controllers is set: no limits are kept`, fixes);
  }
  return fail(
    'cgroups',
    message,
    `${fixes}; or set tolerate_missing_controllers = true to go on without limits`,
  );
}

function reasonOf(name: string, facts: CgroupFacts): string {
  if (usedByV1(name, facts)) return 'in use by cgroup v1';
  if (disabled(name, facts)) return 'switched off on the kernel command line';
  return listed(name, facts) === undefined ? 'not in this kernel' : 'not given to this cgroup';
}

function fixOf(name: string, facts: CgroupFacts): string {
  if (usedByV1(name, facts)) {
    return 'boot with systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all';
  }
  if (disabled(name, facts)) {
    return name === 'memory'
      ? 'boot with cgroup_enable=memory and without cgroup_disable=memory'
      : `boot without cgroup_disable=${name}`;
  }
  if (listed(name, facts) === undefined) return `boot a kernel with the ${name} controller`;
  return `enable it in the parent: echo +${name} > cgroup.subtree_control (systemd: Delegate=yes)`;
}

/** The line of /proc/cgroups: name, hierarchy, number of cgroups, enabled. cpu is listed under its own name in v1 and v2. */
function listed(name: string, { procCgroups }: CgroupFacts): string[] | undefined {
  return procCgroups
    .split('\n')
    .map((line) => line.split(/\s+/))
    .find((fields) => fields[0] === name);
}

/** A controller that a v1 hierarchy has (its number is not 0) is missing in v2. */
function usedByV1(name: string, facts: CgroupFacts): boolean {
  return Number(listed(name, facts)?.[1] ?? 0) > 0;
}

function disabled(name: string, facts: CgroupFacts): boolean {
  const argument = new RegExp(`\\bcgroup_disable=\\S*\\b${name}\\b`);
  return listed(name, facts)?.[3] === '0' || argument.test(facts.commandLine);
}
