import { SkiffError } from '../base/errors.ts';
import type { SandboxConfig } from './types.ts';

/** Sysctls of the IPC namespace (namespaces(7), ipc_namespaces(7)), with a dot after those that are prefixes. */
const IPC_NAMES = ['kernel.msgmax', 'kernel.msgmnb', 'kernel.msgmni', 'kernel.sem', 'kernel.shmall'];
const IPC_MORE = ['kernel.shmmax', 'kernel.shmmni', 'kernel.shm_rmid_forced'];
const IPC_SYSCTLS = new Set([...IPC_NAMES, ...IPC_MORE]);

/** Sysctls that name an interface, which is not there before the network is. */
const OF_INTERFACE = /^net\.(ipv[46]\.(conf|neigh)|mpls\.conf)\.(?!(all|default|lo)\.)[^.]/;

/** `[key, value]` pairs, keys with dots. */
export type Sysctls = [key: string, value: string][];

/**
 * Defaults of a pod with a network of its own, as the peers have them: ports
 * below 1024 without CAP_NET_BIND_SERVICE, ping without CAP_NET_RAW.
 */
export function defaultSysctls(options: {
  unprivilegedPorts: boolean;
  unprivilegedIcmp: boolean;
}): Record<string, string> {
  return {
    ...(options.unprivilegedPorts ? { 'net.ipv4.ip_unprivileged_port_start': '0' } : {}),
    ...(options.unprivilegedIcmp ? { 'net.ipv4.ping_group_range': '0 2147483647' } : {}),
  };
}

/** What to write while the sandbox's namespaces are made: `defaults` of those that it has, then what the pod asks for. */
export function effectiveSysctls(config: SandboxConfig, defaults: Record<string, string>): Sysctls {
  const { network, ipc } = config.security.namespaces;
  const apply = (key: string) => (key.startsWith('net.') ? network !== 'node' : ipc !== 'node');
  const wanted = new Map(Object.entries(defaults).filter(([key]) => apply(key)));
  for (const [key, value] of canonical(config)) if (!OF_INTERFACE.test(key)) wanted.set(key, value);
  return [...wanted];
}

/** What to write once the network is there, since it names one of its interfaces (net.ipv4.conf.eth0...). */
export function interfaceSysctls(config: SandboxConfig): Sysctls {
  return canonical(config).filter(([key]) => OF_INTERFACE.test(key));
}

function canonical(config: SandboxConfig): Sysctls {
  return Object.entries(config.sysctls).map(([key, value]) => [canonicalSysctl(key), value]);
}

/** Refuses sysctls that would change the node: those of a namespace that the pod shares with it, or of none. */
export function validateSysctls(config: SandboxConfig): void {
  for (const [given, value] of Object.entries(config.sysctls)) {
    const key = canonicalSysctl(given);
    if (!/^[a-z0-9_-]+(\.[A-Za-z0-9_/:@-]+)+$/.test(key) || key.split(/[./]/).includes(''))
      throw invalid(given, 'is not the name of a sysctl');
    if (/[\n\0]/.test(value)) throw invalid(given, 'has a value of more than one line');
    checkNamespace(given, key, config);
  }
}

/** `net/ipv4/conf/eth0.7/forwarding` as `net.ipv4.conf.eth0/7.forwarding`: the first separator says which one it is (sysctl(8)). */
export function canonicalSysctl(key: string): string {
  const first = /[./]/.exec(key)?.[0];
  if (first !== '/') return key;
  return key.replace(/[./]/g, (separator) => (separator === '/' ? '.' : '/'));
}

function checkNamespace(given: string, key: string, config: SandboxConfig): void {
  const { network, ipc } = config.security.namespaces;
  if (key.startsWith('net.')) {
    if (network === 'node') throw invalid(given, 'cannot be set with host network: set it on the node');
  } else if (IPC_SYSCTLS.has(key) || key.startsWith('fs.mqueue.')) {
    if (ipc === 'node') throw invalid(given, 'cannot be set with host IPC: set it on the node');
  } else if (key === 'kernel.domainname') {
    if (network === 'node') throw invalid(given, 'cannot be set with host network: set it on the node');
  } else if (key === 'kernel.hostname') {
    throw invalid(given, 'is set by the field hostname');
  } else {
    throw invalid(given, 'is not of a namespace, it would change the node: set it on the node');
  }
}

function invalid(key: string, what: string): SkiffError {
  return new SkiffError('invalid_argument', `linux.sysctls: ${JSON.stringify(key)} ${what}`);
}
