import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { readFileIfThere } from '../../base/files.ts';
import { readHostFacts } from '../../os/host-facts.ts';
import { mountPropagation } from '../../os/mount.ts';
import { type Check, type Finding, fail, ok, warn } from './finding.ts';

/** openat2(2) came with 5.6: without it an archive could leave its directory. */
const OLDEST = [5, 6];
/** Mounts with an id mapping (5.12) and recursive read-only mounts (5.12). */
const COMFORTABLE = [5, 12];

const CAPABILITIES = { SYS_ADMIN: 21n, NET_ADMIN: 12n, SYS_CHROOT: 18n, MKNOD: 27n, SYS_RESOURCE: 24n };

export const kernel: Check = async () => kernelFinding(release());

export function kernelFinding(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  const older = ([than, point]: number[]) => major < than! || (major === than && minor < point!);
  if (older(OLDEST)) {
    return fail('kernel', `Linux ${version} has no openat2(2)`, `boot a kernel from ${OLDEST.join('.')} on`);
  }
  if (older(COMFORTABLE)) {
    return warn(
      'kernel',
      `Linux ${version} has no recursive read-only mounts`,
      `boot a kernel from ${COMFORTABLE.join('.')} on where pods ask for them`,
    );
  }
  return ok('kernel', `Linux ${version}`);
}

export const privileges: Check = async ({ root }) => {
  if (!root) return warn('privileges', 'not root: mounts were not tried', 'run "sudo skiff doctor"');
  const { capabilityMask } = await readHostFacts();
  const mask = BigInt(`0x${capabilityMask}`);
  const lacking = Object.entries(CAPABILITIES).filter(([, bit]) => ((mask >> bit) & 1n) === 0n);
  const names = lacking.map(([name]) => `CAP_${name}`).join(', ');
  if (lacking.length === 0) return ok('privileges', 'root with the capabilities that are needed');
  if (names === 'CAP_SYS_RESOURCE') {
    return warn(
      'privileges',
      'CAP_SYS_RESOURCE is missing: oom_score_adj cannot be lowered',
      'start the daemon with it; until then important pods are not spared when memory runs out',
    );
  }
  return fail(
    'privileges',
    `${names} missing`,
    'run the daemon with all capabilities, outside of a container',
  );
};

export const forwarding: Check = async () => {
  const on = (await readFileIfThere('/proc/sys/net/ipv4/ip_forward'))?.trim() === '1';
  if (on) return ok('ip_forward', 'on');
  return warn(
    'ip_forward',
    'net.ipv4.ip_forward is 0: pods reach nothing outside of the host',
    'sysctl -w net.ipv4.ip_forward=1, and write it to /etc/sysctl.d/ to keep it',
  );
};

export const inotify: Check = async () => {
  const limit = async (name: string) => Number(await readFile(`/proc/sys/fs/inotify/${name}`, 'utf8'));
  const [instances, watches] = await Promise.all([limit('max_user_instances'), limit('max_user_watches')]);
  const message = `max_user_instances ${instances}, max_user_watches ${watches}`;
  if (instances >= 128 && watches >= 8192) return ok('inotify', message);
  return warn(
    'inotify',
    `${message}: a kubelet and many pods may run out of them`,
    'sysctl -w fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=524288',
  );
};

export const security: Check = async () => {
  const { seccomp, apparmor, selinux } = await readHostFacts();
  const modules = [apparmor ? 'AppArmor' : '', selinux ? 'SELinux' : ''].filter((name) => name !== '');
  return [
    seccomp
      ? ok('seccomp', 'available')
      : warn(
          'seccomp',
          'not in this kernel',
          'boot a kernel with CONFIG_SECCOMP_FILTER; pods that ask for a profile fail',
        ),
    ok('security modules', modules.length === 0 ? 'neither AppArmor nor SELinux' : modules.join(', ')),
  ];
};

export const propagation: Check = async () => {
  const found = await mountPropagation('/');
  if (found === 'shared') return ok('mount propagation', '/ is shared');
  return warn(
    'mount propagation',
    `/ is ${found}: volumes with HostToContainer or Bidirectional propagation fail`,
    'mount --make-rshared /',
  );
};
