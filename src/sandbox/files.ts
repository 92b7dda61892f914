import { hostname as nodeHostname } from 'node:os';
import { join } from 'node:path';
import { readFileIfThere, writeFileAtomic } from '../base/files.ts';
import type { DnsConfig, SandboxConfig } from './types.ts';

/** The files of a sandbox that its containers get mounted over those of their image. */
export interface SandboxFiles {
  resolvConf: string;
  hosts: string;
  hostname: string;
}

/** Where the files of the sandbox in `directory` are. */
export function sandboxFiles(directory: string): SandboxFiles {
  return {
    resolvConf: join(directory, 'resolv.conf'),
    hosts: join(directory, 'hosts'),
    hostname: join(directory, 'hostname'),
  };
}

/** The name that the pod's processes see: the configuration's, else the node's. */
export function sandboxHostname(config: SandboxConfig): string {
  return config.hostname === '' ? nodeHostname() : config.hostname;
}

/** Writes resolv.conf, hosts (the node's, the kubelet mounts its own over it) and hostname into `directory`. */
export async function writeSandboxFiles(directory: string, config: SandboxConfig): Promise<SandboxFiles> {
  const files = sandboxFiles(directory);
  const hostNetwork = config.security.namespaces.network === 'node';
  const hosts = (await readFileIfThere('/etc/hosts')) ?? '127.0.0.1\tlocalhost\n::1\tlocalhost\n';
  await Promise.all([
    writeFileAtomic(files.resolvConf, await resolvConf(config.dns, hostNetwork)),
    writeFileAtomic(files.hosts, hosts),
    writeFileAtomic(files.hostname, `${sandboxHostname(config)}\n`),
  ]);
  return files;
}

async function resolvConf(dns: DnsConfig | null, hostNetwork: boolean): Promise<string> {
  const own = resolvConfOf(dns);
  return own === '' ? nodeResolvConf(hostNetwork) : own;
}

/** resolv.conf(5) as the configuration says it, '' where it says nothing. */
export function resolvConfOf(dns: DnsConfig | null): string {
  if (dns === null) return '';
  const lines: string[] = [];
  if (dns.searches.length > 0) lines.push(`search ${dns.searches.join(' ')}`);
  for (const server of dns.servers) lines.push(`nameserver ${server}`);
  if (dns.options.length > 0) lines.push(`options ${dns.options.join(' ')}`);
  return lines.map((line) => `${line}\n`).join('');
}

/**
 * A copy of the node's resolv.conf. A stub resolver on the node's loopback
 * cannot be reached from a pod's own network, so there the file with the real
 * servers is taken, where systemd-resolved keeps one.
 */
async function nodeResolvConf(hostNetwork: boolean): Promise<string> {
  const text = (await readFileIfThere('/etc/resolv.conf')) ?? '';
  if (hostNetwork || !onlyLoopback(text)) return text;
  return (await readFileIfThere('/run/systemd/resolve/resolv.conf')) ?? text;
}

/** True where resolv.conf text names servers and all of them are loopback addresses. */
export function onlyLoopback(text: string): boolean {
  const servers = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((match) => match[1] ?? '');
  return servers.length > 0 && servers.every((server) => /^(127\.|::1$)/.test(server));
}
