import { rm } from 'node:fs/promises';
import { errnoOf, messageOf, SkiffError } from '../base/errors.ts';
import { unmount } from './mount.ts';
import { type NetnsInterface, native } from './native.ts';
import { run } from './process.ts';

/** Files that hold the namespaces of a pod; null = it uses the node's. */
export interface NamespacePaths {
  net: string | null;
  ipc: string | null;
  uts: string | null;
}

export interface PinRequest extends NamespacePaths {
  /** Name inside the uts namespace, '' = as the node. */
  hostname: string;
  /** Written inside the new namespaces. */
  sysctls: [key: string, value: string][];
}

/**
 * Makes new namespaces and keeps each by a bind mount on its file, whose
 * directory is there. `lo` is up inside. On failure nothing is left.
 */
export async function pinSandbox(request: PinRequest): Promise<NamespacePaths> {
  const { net, ipc, uts, hostname, sysctls } = request;
  if (net === null && ipc === null && uts === null) return { net, ipc, uts };
  try {
    await native().pinNamespaces({ net, ipc, uts, hostname: uts === null ? '' : hostname, sysctls });
  } catch (cause) {
    throw sysctlRefused(cause, sysctls) ?? SkiffError.from(cause, 'make namespaces');
  }
  return { net, ipc, uts };
}

/** What the kernel says of a setting that it does not have, or of a value that the setting cannot have. */
const REFUSED = ['ENOENT', 'EINVAL', 'ERANGE'];

/** The error where it was a sysctl that failed, which the native error names: trying again can only fail again. */
function sysctlRefused(cause: unknown, sysctls: PinRequest['sysctls']): SkiffError | undefined {
  const refused = sysctls.find(([key]) => messageOf(cause).includes(` ${key}: `));
  if (refused === undefined || !REFUSED.includes(errnoOf(cause) ?? '')) return undefined;
  const [key, value] = refused;
  return new SkiffError(
    'invalid_argument',
    `make namespaces: this kernel does not take sysctl ${key} = ${JSON.stringify(value)} (${errnoOf(cause)}); correct it in the pod, or in default_sysctls if it is set there`,
    { cause },
  );
}

/** Lets go of the namespaces: those that no process uses any more end. Not there is fine. */
export async function unpinSandbox(paths: NamespacePaths): Promise<void> {
  for (const path of [paths.net, paths.ipc, paths.uts]) {
    if (path === null) continue;
    await unmount(path);
    await rm(path, { force: true });
  }
}

/** Interfaces of the network namespace pinned at `netns`, with their counters. Rejects with the errno's error. */
export function interfacesOf(netns: string): Promise<NetnsInterface[]> {
  return native().netnsInterfaces(netns);
}

/** Writes the sysctls of a network namespace from the inside: those of its interfaces exist only after CNI has made them. */
export async function writeNetSysctls(netns: string, sysctls: [key: string, value: string][]): Promise<void> {
  if (sysctls.length === 0) return;
  // /proc/sys/net is that of the process that opens it, so a process in there has to write.
  const ended = await run(process.execPath, ['-e', WRITER], { stdin: JSON.stringify(sysctls), netns });
  if (ended.code !== 0)
    throw new SkiffError('invalid_argument', `write sysctls: ${ended.stderr.toString('utf8').trim()}`);
}

const WRITER = `
const fs = require('node:fs');
for (const [key, value] of JSON.parse(fs.readFileSync(0, 'utf8'))) {
  const file = '/proc/sys/' + key.replace(/[./]/g, (c) => (c === '.' ? '/' : '.'));
  try {
    fs.writeFileSync(file, value);
  } catch (e) {
    console.error(key + ': ' + e.message);
    process.exitCode = 1;
  }
}`;
