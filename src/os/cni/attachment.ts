import { statfs } from 'node:fs/promises';
import { SkiffError } from '../../base/errors.ts';
import type { CniNetworkList, CniResult } from '../../oci/cni-spec.ts';
import type { SandboxNetwork } from '../../sandbox/types.ts';
import type { Attachment } from './list.ts';
import type { CniRequest } from './request.ts';
import { podAddresses } from './result.ts';

/** statfs(2) type of namespace files. */
const NSFS_MAGIC = 0x6e736673;

/** One network of a stored SandboxNetwork. */
export type Attached = Pick<SandboxNetwork, 'conflist' | 'result'>;

/** The attachments of a pod to the networks that it was added to, in the order of ADD. */
export function attachmentsOf(request: CniRequest, networks: Attached[]): Attachment[] {
  return networks.map(({ conflist, result }, i) => ({
    list: conflist as CniNetworkList,
    request,
    ifName: interfaceName(request.ifName, i),
    result: result as CniResult | null,
  }));
}

/** What is stored of attachments that were made; the pod's addresses are those of the first. */
export function networkOf(done: Attachment[]): SandboxNetwork {
  const first = done[0];
  if (first === undefined)
    throw new SkiffError('failed_precondition', 'CNI: there is no network to attach to');
  const { ips } = podAddresses(first.result ?? {}, first.ifName);
  if (ips[0] === undefined)
    throw new SkiffError(
      'internal',
      `CNI network ${first.list.name} gave the pod no address: check the "ipam" of its configuration`,
    );
  const [stored, ...more] = done.map(({ list, result }) => ({
    networkName: list.name,
    conflist: list as unknown,
    result: result as unknown,
  }));
  return { ip: ips[0], additionalIps: ips.slice(1), ...stored!, more };
}

/** eth0 of the request is eth1 on the second network. */
export function interfaceName(first: string, index: number): string {
  return index === 0 ? first : `${first.replace(/\d+$/, '')}${index}`;
}

/** True where `path` is a namespace, pinned or of a process; an empty file left by a lost mount is none. */
export async function isNamespace(path: string): Promise<boolean> {
  if (path === '') return false;
  return statfs(path).then(
    ({ type }) => type === NSFS_MAGIC,
    () => false,
  );
}
