import { SkiffError } from '../../base/errors.ts';
import type { CapabilitySets } from '../../oci/runtime-spec.ts';
import type { Capabilities } from '../types.ts';

/** All capabilities of linux/capability.h in the order of their numbers. */
const NAMES = `
  CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
  NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
  SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
  AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
  PERFMON BPF CHECKPOINT_RESTORE`;

export const CAPABILITIES: readonly string[] = NAMES.trim()
  .split(/\s+/)
  .map((name) => `CAP_${name}`);

/** What a container holds unless told otherwise: the set that container runtimes have agreed on. */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SYS_CHROOT',
  'CAP_MKNOD',
  'CAP_AUDIT_WRITE',
  'CAP_SETFCAP',
];

/**
 * The capabilities of a container. ALL comes first, in `add` then in `drop`,
 * so that both "all but CHOWN" and "none but CHOWN" can be said; then single
 * names are added, then dropped. A privileged container holds all of the host.
 */
export function containerCapabilities(
  wanted: Capabilities | null,
  privileged: boolean,
  hostCapabilities: readonly string[],
): string[] {
  if (privileged) return [...hostCapabilities];
  const add = (wanted?.add ?? []).map(capabilityName);
  const drop = (wanted?.drop ?? []).map(capabilityName);
  const held = new Set<string>(add.includes('ALL') ? hostCapabilities : DEFAULT_CAPABILITIES);
  if (drop.includes('ALL')) held.clear();
  for (const name of add) if (name !== 'ALL') held.add(name);
  for (const name of drop) held.delete(name);
  return CAPABILITIES.filter((name) => held.has(name));
}

/**
 * The sets of a process: nothing inheritable and nothing ambient, because
 * Kubernetes does not define capabilities of a user other than root across execve.
 */
export function capabilitySets(held: readonly string[]): CapabilitySets {
  return { bounding: [...held], effective: [...held], permitted: [...held] };
}

/** `CAP_NET_ADMIN` of "net_admin", "NET_ADMIN" or "CAP_NET_ADMIN"; "ALL" stays. */
export function capabilityName(name: string): string {
  const upper = name.toUpperCase();
  if (upper === 'ALL' || upper === 'CAP_ALL') return 'ALL';
  const full = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  if (!CAPABILITIES.includes(full))
    throw new SkiffError(
      'invalid_argument',
      `capability ${name} is not known: see capabilities(7) for the names`,
    );
  return full;
}

/** The names in a mask as /proc/PID/status writes it, in hexadecimal. */
export function capabilitiesOfMask(mask: string): string[] {
  const bits = BigInt(`0x${mask}`);
  return CAPABILITIES.filter((_, number) => ((bits >> BigInt(number)) & 1n) === 1n);
}
