import { isIP, isIPv4 } from 'node:net';
import { SkiffError } from '../../base/errors.ts';
import type { CniInterface, CniIp, CniResult } from '../../oci/cni-spec.ts';

/** What the runtime needs of an ADD result. */
export interface PodAddresses {
  /** Addresses of the pod's interface without prefix length, IPv4 before IPv6, else in the plugin's order. */
  ips: string[];
  /** Gateway of the first address, '' where there is none. */
  gateway: string;
  interfaces: CniInterface[];
}

/** Parses stdout of an ADD. */
export function parseResult(stdout: Buffer, plugin: string): CniResult {
  const text = stdout.toString('utf8').trim();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SkiffError(
      'internal',
      `CNI plugin ${plugin} printed a result that is not JSON: ${clip(text)}`,
      {
        cause,
      },
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new SkiffError(
      'internal',
      `CNI plugin ${plugin} printed a result that is not an object: ${clip(text)}`,
    );
  return value as CniResult;
}

/**
 * The addresses that `result` gives to `ifName` inside the pod. An address
 * without an interface belongs to it (SPEC.md: plugins may leave `interfaces`
 * out); one that points at an interface of the host does not.
 */
export function podAddresses(result: CniResult, ifName: string): PodAddresses {
  const interfaces = result.interfaces ?? [];
  const own = ipsOf(result).filter((ip) => belongs(ip, interfaces, ifName));
  const parsed = own.map((ip) => ({ ip: bareAddress(ip.address), gateway: ip.gateway ?? '' }));
  const ordered = [...parsed.filter(({ ip }) => isIPv4(ip)), ...parsed.filter(({ ip }) => !isIPv4(ip))];
  return { ips: ordered.map(({ ip }) => ip), gateway: ordered[0]?.gateway ?? '', interfaces };
}

function belongs(ip: CniIp, interfaces: CniInterface[], ifName: string): boolean {
  if (ip.interface === undefined || ip.interface === null) return true;
  const target = interfaces[ip.interface];
  if (target === undefined)
    throw new SkiffError(
      'internal',
      `CNI result: address ${ip.address} names interface ${ip.interface} of ${interfaces.length}`,
    );
  // Not all plugins fill in `sandbox`; where one does, an interface of that name on the host is another.
  const sandboxed = interfaces.some(({ name, sandbox }) => name === ifName && sandbox);
  return target.name === ifName && (!sandboxed || Boolean(target.sandbox));
}

function bareAddress(cidr: string): string {
  const address = String(cidr).split('/')[0] ?? '';
  if (isIP(address) === 0) throw new SkiffError('internal', `CNI result: "${cidr}" is not an IP address`);
  return address;
}

/** Results of 0.1.0 and 0.2.0 hold one address per family in `ip4` and `ip6`. */
function ipsOf(result: CniResult): CniIp[] {
  if (result.ips !== undefined) return result.ips ?? [];
  const old = result as { ip4?: OldIp; ip6?: OldIp };
  return [old.ip4, old.ip6].flatMap((entry) =>
    entry === undefined || entry === null ? [] : [{ address: entry.ip, gateway: entry.gateway }],
  );
}

interface OldIp {
  ip: string;
  gateway?: string;
}

function clip(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}
