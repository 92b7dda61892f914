import type { PortMapping, SandboxConfig, SandboxMetadata } from '../../sandbox/types.ts';
import type { PodSandboxConfig__Output } from '../gen/runtime/v1/PodSandboxConfig.ts';
import type { PodSandboxMetadata, PodSandboxMetadata__Output } from '../gen/runtime/v1/PodSandboxMetadata.ts';
import type { PortMapping__Output } from '../gen/runtime/v1/PortMapping.ts';
import { fromEnum, required } from './fields.ts';
import { linuxResources } from './resources.ts';
import { sandboxSecurity } from './security.ts';

const PROTOCOLS: Record<string, PortMapping['protocol']> = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' };

/**
 * A PodSandboxConfig. `path` is the field that held it, for messages. The `windows` part is ignored: a
 * client sends it for Windows nodes only.
 */
export function sandboxConfig(message: PodSandboxConfig__Output | null, path = 'config'): SandboxConfig {
  const config = required(message, path);
  const linux = config.linux;
  return {
    metadata: sandboxMetadata(config.metadata, `${path}.metadata`),
    hostname: config.hostname,
    logDirectory: config.log_directory,
    dns: config.dns_config && {
      servers: config.dns_config.servers,
      searches: config.dns_config.searches,
      options: config.dns_config.options,
    },
    portMappings: config.port_mappings.map(portMapping),
    labels: config.labels,
    annotations: config.annotations,
    cgroupParent: linux?.cgroup_parent ?? '',
    sysctls: linux?.sysctls ?? {},
    security: sandboxSecurity(linux?.security_context ?? null, `${path}.linux.security_context`),
    overhead: linuxResources(linux?.overhead ?? null),
    resources: linuxResources(linux?.resources ?? null),
  };
}

function sandboxMetadata(message: PodSandboxMetadata__Output | null, path: string): SandboxMetadata {
  const metadata = required(message, path);
  return {
    name: required(metadata.name, `${path}.name`),
    uid: metadata.uid,
    namespace: metadata.namespace,
    attempt: metadata.attempt,
  };
}

export function sandboxMetadataMessage(metadata: SandboxMetadata): PodSandboxMetadata {
  return {
    name: metadata.name,
    uid: metadata.uid,
    namespace: metadata.namespace,
    attempt: metadata.attempt,
  };
}

function portMapping(message: PortMapping__Output): PortMapping {
  return {
    protocol: fromEnum(PROTOCOLS, message.protocol, 'tcp'),
    containerPort: message.container_port,
    hostPort: message.host_port,
    hostIp: message.host_ip,
  };
}
