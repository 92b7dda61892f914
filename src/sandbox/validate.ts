import { isIP } from 'node:net';
import { SkiffError } from '../base/errors.ts';
import { validateSysctls } from './sysctls.ts';
import type { NamespaceMode, SandboxConfig } from './types.ts';

/** HOST_NAME_MAX of Linux (sethostname(2)), in bytes. */
const HOSTNAME_MAX = 64;

/** Throws invalid_argument by field name for what is wrong, unimplemented for what is not served. */
export function validateSandbox(config: SandboxConfig): void {
  validateMetadata(config);
  validateHostname(config.hostname);
  if (config.logDirectory !== '' && !/^\/[^\0]*$/.test(config.logDirectory))
    throw invalid('log_directory', `${JSON.stringify(config.logDirectory)} must be an absolute path`);
  validateNamespaces(config);
  validateDns(config);
  validatePorts(config);
  validateSysctls(config);
}

/**
 * The client refuses a status without any of the three, and the kubelet finds pods by them. CNI_ARGS joins
 * them with ";" and "=", and a pod is named `namespace/name`.
 */
function validateMetadata({ metadata }: SandboxConfig): void {
  for (const field of ['name', 'namespace', 'uid'] as const) {
    const value = metadata[field];
    if (value === '') throw invalid(`metadata.${field}`, 'must be set');
    if (/[;=/\0\n]/.test(value))
      throw invalid(`metadata.${field}`, `${JSON.stringify(value)} holds one of ; = / NUL and newline`);
  }
}

function validateHostname(hostname: string): void {
  if (Buffer.byteLength(hostname) > HOSTNAME_MAX)
    throw invalid('hostname', `${JSON.stringify(hostname)} has more than ${HOSTNAME_MAX} bytes`);
  if (/[\s\0/]/.test(hostname)) throw invalid('hostname', `${JSON.stringify(hostname)} is not a host name`);
}

function validateNamespaces(config: SandboxConfig): void {
  const { network, pid, ipc, userns } = config.security.namespaces;
  const base = 'linux.security_context.namespace_options';
  oneOf(`${base}.network`, network, ['pod', 'node']);
  oneOf(`${base}.ipc`, ipc, ['pod', 'node']);
  oneOf(`${base}.pid`, pid, ['pod', 'container', 'node']);
  if (userns !== null && userns.mode !== 'node')
    throw new SkiffError(
      'unimplemented',
      `${base}.userns_options: user namespaces are not served: set hostUsers to true in the pod`,
    );
}

function oneOf(field: string, mode: NamespaceMode, allowed: NamespaceMode[]): void {
  if (!allowed.includes(mode))
    throw invalid(field, `${mode.toUpperCase()} is not possible for a pod, only ${allowed.join(', ')}`);
}

function validateDns({ dns }: SandboxConfig): void {
  if (dns === null) return;
  for (const server of dns.servers)
    if (isIP(server.split('%')[0] ?? '') === 0)
      throw invalid('dns_config.servers', `${JSON.stringify(server)} is not an IP address`);
  for (const [field, values] of Object.entries({ searches: dns.searches, options: dns.options }))
    for (const value of values)
      if (/[\s\0]/.test(value))
        throw invalid(`dns_config.${field}`, `${JSON.stringify(value)} must be one word`);
}

function validatePorts({ portMappings }: SandboxConfig): void {
  for (const { hostPort, containerPort, hostIp } of portMappings) {
    if (!isPort(hostPort)) throw invalid('port_mappings.host_port', `${hostPort} is not a port`);
    if (!isPort(containerPort))
      throw invalid('port_mappings.container_port', `${containerPort} is not a port`);
    if (hostIp !== '' && isIP(hostIp) === 0)
      throw invalid('port_mappings.host_ip', `${JSON.stringify(hostIp)} is not an IP address`);
  }
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 65_535;
}

function invalid(field: string, what: string): SkiffError {
  return new SkiffError('invalid_argument', `${field}: ${what}`);
}
