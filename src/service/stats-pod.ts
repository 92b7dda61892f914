import { posix } from 'node:path';
import { nowNs } from '../base/clock.ts';
import { parentDirectory } from '../os/cgroup.ts';
import { interfacesOf } from '../os/namespaces.ts';
import { ownCgroup } from '../sandbox/cgroup-parent.ts';
import type { SandboxRow } from '../sandbox/types.ts';
import type { InterfaceUsage, SandboxStats } from './api.ts';

/** The name that CNI gives the first interface of a pod. */
const DEFAULT_INTERFACE = 'eth0';

/**
 * The directory of the cgroup that holds this pod and nothing else: ours, or
 * the kubelet's, which is named after the pod's uid (in a slice with "_" for
 * "-"). Null where others may share the parent, as with crictl.
 */
export function podCgroup(row: SandboxRow): string | null {
  // The row holds what the driver of its time takes: a path from the root, or the name of a slice.
  const driver = row.cgroupParent.startsWith('/') ? 'cgroupfs' : 'systemd';
  const own = ownCgroup(driver, row);
  if (own !== null) return own;
  const { uid } = row.config.metadata;
  const name = posix.basename(row.cgroupParent, '.slice');
  const isNamedAfterPod = [uid, uid.replaceAll('-', '_')].some((text) => name.endsWith(`pod${text}`));
  return uid !== '' && isNamedAfterPod ? parentDirectory(driver, row.cgroupParent) : null;
}

/**
 * Counters of the interfaces in a network namespace, without the loopback. Null
 * where there is none: the kubelet takes a default interface for granted
 * (addCRIPodNetworkStats), so another one stands in for eth0.
 */
export async function readNetwork(netns: string): Promise<SandboxStats['network']> {
  const usages = (await interfacesOf(netns)).filter(({ name }) => name !== 'lo').map(interfaceUsage);
  const defaultInterface = usages.find(({ name }) => name === DEFAULT_INTERFACE) ?? usages[0];
  if (defaultInterface === undefined) return null;
  const interfaces = usages.filter((usage) => usage !== defaultInterface);
  return { timestamp: nowNs(), defaultInterface, interfaces };
}

function interfaceUsage({ name, rxBytes, rxErrors, txBytes, txErrors }: InterfaceUsage): InterfaceUsage {
  return { name, rxBytes, rxErrors, txBytes, txErrors };
}
