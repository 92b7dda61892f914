import { SkiffError } from '../../base/errors.ts';
import type { CniBandwidth, CniDns, CniPluginConf, CniPortMapping } from '../../oci/cni-spec.ts';

/** One attachment of a pod: who it is and what the plugins may want to know of it. */
export interface CniRequest {
  /** Sandbox id, CNI_CONTAINERID. */
  id: string;
  /** Path of the network namespace, '' where it is gone. */
  netns: string;
  /** Interface of the first network; further networks count on: eth1, eth2. */
  ifName: string;
  /** Pod name, namespace and uid. */
  name: string;
  namespace: string;
  uid: string;
  annotations: Record<string, string>;
  portMappings: CniPortMapping[];
  dns: CniDns | null;
  bandwidth: CniBandwidth | null;
  /** Addresses asked for, with or without prefix length; [] = any. */
  ips: string[];
  /** Hardware address asked for, '' = any. */
  mac: string;
  cgroupPath: string;
}

/** CNI_ARGS: the arguments by which Kubernetes plugins know the pod; IgnoreUnknown keeps the others from failing. */
export function cniArgs(request: CniRequest): string {
  const args: [string, string][] = [
    ['IgnoreUnknown', '1'],
    ['K8S_POD_NAMESPACE', request.namespace],
    ['K8S_POD_NAME', request.name],
    ['K8S_POD_INFRA_CONTAINER_ID', request.id],
    ['K8S_POD_UID', request.uid],
  ];
  for (const [key, value] of args)
    if (/[;=\0]/.test(value))
      throw new SkiffError('invalid_argument', `CNI argument ${key}: "${value}" must not contain ";" or "="`);
  return args.map(([key, value]) => `${key}=${value}`).join(';');
}

/** All capability arguments of the pod (CONVENTIONS.md, and the annotations key of the peers); what is empty is left out. */
export function capabilityArgs(request: CniRequest): Record<string, unknown> {
  const args: Record<string, unknown> = { 'io.kubernetes.cri.pod-annotations': request.annotations };
  if (request.portMappings.length > 0) args.portMappings = request.portMappings;
  if (request.bandwidth !== null) args.bandwidth = request.bandwidth;
  if (request.dns !== null) args.dns = request.dns;
  if (request.ips.length > 0) args.ips = request.ips;
  if (request.mac !== '') args.mac = request.mac;
  if (request.cgroupPath !== '') args.cgroupPath = request.cgroupPath;
  return args;
}

/** The part of `args` that `plugin` declares under `capabilities`, or undefined where that is nothing. */
export function runtimeConfig(
  plugin: CniPluginConf,
  args: Record<string, unknown>,
): Record<string, unknown> | undefined {
  const declared = Object.entries(plugin.capabilities ?? {}).filter(
    ([name, on]) => on === true && Object.hasOwn(args, name),
  );
  if (declared.length === 0) return undefined;
  return Object.fromEntries(declared.map(([name]) => [name, args[name]]));
}
