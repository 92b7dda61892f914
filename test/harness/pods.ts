/** Configurations of pods and containers as a CRI client sends them, small and complete. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { ContainerConfig } from '../../src/cri/gen/runtime/v1/ContainerConfig.ts';
import type { PodSandboxConfig } from '../../src/cri/gen/runtime/v1/PodSandboxConfig.ts';
import type { TestDaemon } from './daemon.ts';

/**
 * NamespaceMode CONTAINER, what the kubelet sends unless a pod says otherwise; CRI's own default is a shared PID
 * namespace. As a number, since crictl reads no names of enum values.
 */
export const OWN_PID = { pid: 1 } as const;
/** NamespaceMode POD, of `shareProcessNamespace: true`. */
export const SHARED_PID = { pid: 0 } as const;

/** A pod with a network of its own; `changes` replaces whole fields. */
export function podConfig(
  daemon: TestDaemon,
  name: string,
  changes: Partial<PodSandboxConfig> = {},
): PodSandboxConfig {
  return {
    metadata: { name, uid: randomUUID(), namespace: 'default', attempt: 0 },
    hostname: name,
    log_directory: join(daemon.logs, name),
    linux: { security_context: { namespace_options: OWN_PID } },
    ...changes,
  };
}

/** A container that runs `command`, with a log named after it. */
export function containerConfig(
  name: string,
  image: string,
  command: string[],
  changes: Partial<ContainerConfig> = {},
): ContainerConfig {
  return {
    metadata: { name, attempt: 0 },
    image: { image },
    command,
    log_path: `${name}.log`,
    linux: { security_context: { namespace_options: OWN_PID } },
    ...changes,
  };
}

/** The texts of a CRI log (`<time> <stream> <P|F> <text>`), partial lines joined. */
export function logTexts(log: string): string[] {
  const texts: string[] = [];
  let partial = '';
  for (const line of log.split('\n').filter((one) => one !== '')) {
    const [, , tag, ...rest] = line.split(' ');
    partial += rest.join(' ');
    if (tag === 'P') continue;
    texts.push(partial);
    partial = '';
  }
  return texts;
}
