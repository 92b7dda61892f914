/**
 * Types and constants of the Container Network Interface specification, 0.1.0
 * to 1.1.0 (containernetworking/cni SPEC.md; capabilities: CONVENTIONS.md).
 */

/** The versions of the protocol that this runtime speaks, oldest first. */
export const CNI_VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

export type CniCommand = 'ADD' | 'DEL' | 'CHECK' | 'STATUS' | 'GC' | 'VERSION';

/** Configuration of one plugin; all keys but those of the protocol are the plugin's own and are passed on unchanged. */
export interface CniPluginConf {
  /** File name of the plugin's binary. */
  type: string;
  capabilities?: Record<string, boolean>;
  [key: string]: unknown;
}

/** A network: the plugins that are run in order to attach a pod. Plain JSON. */
export interface CniNetworkList {
  name: string;
  /** The version that was selected of `cniVersion` and `cniVersions`. */
  cniVersion: string;
  /** All versions that the configuration gives, oldest first, when it gives more than one. */
  cniVersions: string[];
  disableCheck: boolean;
  disableGC: boolean;
  plugins: CniPluginConf[];
}

export interface CniInterface {
  name: string;
  mac?: string;
  mtu?: number;
  /** Path of the network namespace, '' or absent for an interface of the host. */
  sandbox?: string;
}

/** `address` is in CIDR notation; `interface` an index into `interfaces`. */
export interface CniIp {
  address: string;
  gateway?: string;
  interface?: number;
}

export interface CniRoute {
  dst: string;
  gw?: string;
}

/** Result of ADD from 0.3.0 on; 0.1.0 and 0.2.0 have `ip4` and `ip6` in place of `ips`. */
export interface CniResult {
  cniVersion?: string;
  interfaces?: CniInterface[];
  ips?: CniIp[];
  routes?: CniRoute[];
  dns?: { nameservers?: string[]; domain?: string; search?: string[]; options?: string[] };
}

/** Error object that a failing plugin prints. */
export interface CniErrorObject {
  cniVersion?: string;
  code: number;
  msg: string;
  details?: string;
}

/** Well-known error codes (SPEC.md, Error). */
export const CNI_ERROR = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodingFailure: 6,
  invalidNetworkConfig: 7,
  tryAgainLater: 11,
  notAvailable: 50,
  limitedConnectivity: 51,
} as const;

/** An entry of the `portMappings` capability. */
export interface CniPortMapping {
  hostPort: number;
  containerPort: number;
  protocol: string;
  hostIP?: string;
}

/** The `bandwidth` capability: rates in bits per second, bursts in bits. */
export interface CniBandwidth {
  ingressRate?: number;
  ingressBurst?: number;
  egressRate?: number;
  egressBurst?: number;
}

/** The `dns` capability. */
export interface CniDns {
  servers: string[];
  searches: string[];
  options: string[];
}
