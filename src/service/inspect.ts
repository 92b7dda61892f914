import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nowNs } from '../base/clock.ts';
import { SkiffError } from '../base/errors.ts';
import { stateOf } from '../container/types.ts';
import type { Spec } from '../oci/runtime-spec.ts';
import type { ContainerStatus, SandboxStatus } from './api.ts';
import type { Hall } from './hall.ts';
import { containerOf, containersOf, sandboxOf, viewOf } from './lookup.ts';

/** PodSandboxStatus; the verbose facts are those that crictl's inspectp reads, and what only skiff knows. */
export async function podSandboxStatus(hall: Hall, id: string, verbose: boolean): Promise<SandboxStatus> {
  const row = sandboxOf(hall, id);
  const info = verbose
    ? {
        pid: row.init?.pid ?? 0,
        config: row.config,
        runtimeHandler: row.runtimeHandler,
        namespaces: row.namespaces,
        cniResult: row.network?.result ?? null,
        cgroupParent: row.cgroupParent,
        operations: hall.operations.list().filter((op) => op.subject === row.id),
      }
    : null;
  return { row, containers: containersOf(hall, row.id).map(viewOf), timestamp: nowNs(), info };
}

/** ContainerStatus; the verbose facts are those that crictl's inspect reads, and what only skiff knows. */
export async function containerStatus(hall: Hall, id: string, verbose: boolean): Promise<ContainerStatus> {
  const row = containerOf(hall, id);
  const info = verbose
    ? {
        sandboxID: row.sandboxId,
        pid: row.pid ?? 0,
        shim: row.shim,
        runtimeHandler: row.runtimeHandler,
        runtimeSpec: await readSpec(hall, row.id),
        config: row.config,
        rootfs: row.rootfs,
        cgroupPath: row.cgroupPath,
      }
    : null;
  return { row, state: stateOf(row), info };
}

/** The OCI spec of a container's bundle. */
export async function readSpec(hall: Pick<Hall, 'layout'>, id: string): Promise<Spec> {
  const path = join(hall.layout.container(id), 'config.json');
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Spec;
  } catch (cause) {
    throw SkiffError.from(cause, `read the bundle of container ${id}`);
  }
}
