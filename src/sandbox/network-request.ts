import { isIP } from 'node:net';
import { SkiffError } from '../base/errors.ts';
import type { CniPortMapping } from '../oci/cni-spec.ts';
import type { CniRequest } from '../os/cni/request.ts';
import { podBandwidth } from './bandwidth.ts';
import type { PortMapping, SandboxRow } from './types.ts';

/** Addresses ("10.1.0.7, fd00::7/64") and hardware address that a pod asks of its network; CRI has no field for them. */
export const IPS_ANNOTATION = 'io.skiff.cni.ips';
export const MAC_ANNOTATION = 'io.skiff.cni.mac';

/** What CNI is asked for this sandbox: the same for ADD, CHECK and DEL, as it comes from the stored row only. */
export function networkRequest(row: SandboxRow): CniRequest {
  const { metadata, annotations, dns, portMappings, cgroupParent } = row.config;
  return {
    id: row.id,
    netns: row.namespaces.net ?? '',
    ifName: 'eth0',
    name: metadata.name,
    namespace: metadata.namespace,
    uid: metadata.uid,
    annotations,
    portMappings: portMappings.filter(({ hostPort }) => hostPort > 0).map(cniPort),
    dns,
    bandwidth: podBandwidth(annotations),
    ips: podIps(annotations[IPS_ANNOTATION] ?? ''),
    mac: podMac(annotations[MAC_ANNOTATION] ?? ''),
    cgroupPath: cgroupParent,
  };
}

function cniPort({ hostPort, containerPort, protocol, hostIp }: PortMapping): CniPortMapping {
  return { hostPort, containerPort, protocol, ...(hostIp === '' ? {} : { hostIP: hostIp }) };
}

function podIps(text: string): string[] {
  const ips = text.split(/[\s,]+/).filter((ip) => ip !== '');
  for (const ip of ips)
    if (isIP(ip.split('/')[0] ?? '') === 0)
      throw new SkiffError('invalid_argument', `annotation ${IPS_ANNOTATION}: "${ip}" is not an IP address`);
  return ips;
}

function podMac(text: string): string {
  if (text === '' || /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) return text;
  throw new SkiffError(
    'invalid_argument',
    `annotation ${MAC_ANNOTATION}: "${text}" is not a hardware address`,
  );
}
