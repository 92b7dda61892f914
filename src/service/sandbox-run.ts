import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { nowNs } from '../base/clock.ts';
import { SkiffError } from '../base/errors.ts';
import { makeDirectory } from '../base/files.ts';
import { newId } from '../base/id.ts';
import type { Operation } from '../base/operation.ts';
import { mountTmpfs, unmount } from '../os/mount.ts';
import { pinSandbox, unpinSandbox, writeNetSysctls } from '../os/namespaces.ts';
import { killProcess } from '../os/process.ts';
import { startPodInit } from '../os/shim.ts';
import { removeTree } from '../os/tree.ts';
import { initCgroup, podCgroupParent } from '../sandbox/cgroup-parent.ts';
import { sandboxHostname, writeSandboxFiles } from '../sandbox/files.ts';
import { networkRequest } from '../sandbox/network-request.ts';
import { effectiveSysctls, interfaceSysctls } from '../sandbox/sysctls.ts';
import type { SandboxConfig, SandboxNetwork, SandboxRow } from '../sandbox/types.ts';
import { validateSandbox } from '../sandbox/validate.ts';
import type { CallContext } from './api.ts';
import { emitSandbox } from './emit.ts';
import type { Hall } from './hall.ts';
import { markNotReady, watchInit } from './sandbox-notready.ts';
import { removePodCgroup } from './sandbox-teardown.ts';

/** Size of a pod's /dev/shm, as both peers make it. */
const SHM_BYTES = 64 * 1024 * 1024;

/**
 * RunPodSandbox: a pod's namespaces, files and network; READY when it resolves.
 * A retry of a call under way joins it; a live sandbox of the same name is
 * `already_exists`; any failure leaves nothing behind.
 */
export async function runPodSandbox(
  hall: Hall,
  call: CallContext,
  config: SandboxConfig,
  handler: string,
): Promise<string> {
  validateSandbox(config);
  requireHandler(hall, handler);
  return hall.calls.run.join(nameOf(config), call.signal, (signal) => create(hall, signal, config, handler));
}

async function create(
  hall: Hall,
  signal: AbortSignal,
  config: SandboxConfig,
  handler: string,
): Promise<string> {
  requireFreeName(hall, config);
  const id = newId();
  const work = async (op: Operation) => {
    const row = newRow(hall, id, config, handler);
    // What is made before the row is on disk is found by its name in the file
    // system; an address from CNI is not, so CNI waits for the row.
    await settleAll([
      op.step('write row', () =>
        hall.sandboxes.insert(row, {
          subject: id,
          what: 'sandbox initialized',
          detail: { name: nameOf(config) },
        }),
      ),
      op.step(
        'pin namespaces',
        () => pin(hall, row),
        () => unpinSandbox(row.namespaces),
      ),
      makeFiles(hall, op, row),
    ]);
    signal.throwIfAborted();
    const network = await addNetwork(hall, op, row, signal);
    signal.throwIfAborted();
    const init = await startInit(hall, op, row);
    const ready = await op.step('write row ready', () =>
      hall.sandboxes.update(id, (now) => ({ ...now, network, init, state: 'ready' as const }), {
        subject: id,
        what: 'sandbox ready',
        detail: { ip: network?.ip ?? '', ms: op.timings() },
      }),
    );
    watchInit(hall, ready);
    emitSandbox(hall, 'created', ready);
    emitSandbox(hall, 'started', ready);
    return id;
  };
  return hall.operations.run('RunPodSandbox', id, work, (failures) => forget(hall, id, failures));
}

/**
 * After the undoing: the row goes, unless something could not be undone. Then it
 * stays as a NOTREADY sandbox, and the kubelet's garbage collection tries again.
 */
async function forget(hall: Hall, id: string, failures: SkiffError[]): Promise<void> {
  if (hall.sandboxes.get(id) === undefined) return;
  if (failures.length === 0) await hall.sandboxes.delete(id, { subject: id, what: 'sandbox undone' });
  else await markNotReady(hall, id, failures.map((failure) => failure.message).join('; '));
}

/** Waits for all, then fails with the first failure: an undo must not run beside a step that still makes things. */
async function settleAll(steps: Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(steps)) if (result.status === 'rejected') throw result.reason;
}

function newRow(hall: Hall, id: string, config: SandboxConfig, handler: string): SandboxRow {
  const { network, ipc } = config.security.namespaces;
  const run = hall.layout.sandboxRun(id);
  return {
    id,
    config,
    runtimeHandler: handler,
    state: 'initialized',
    createdAt: nowNs(),
    stoppedAt: null,
    namespaces: {
      net: network === 'node' ? null : hall.layout.netns(id),
      ipc: ipc === 'node' ? null : `${run}/ipc`,
      // A pod in the node's network has the node's name too, as the peers do it.
      uts: network === 'node' ? null : `${run}/uts`,
    },
    init: null,
    network: null,
    torndown: false,
    cgroupParent: podCgroupParent(hall.options.cgroupDriver, config.cgroupParent, id),
    bootId: hall.bootId,
  };
}

async function pin(hall: Hall, row: SandboxRow): Promise<void> {
  await mkdir(hall.layout.sandboxRun(row.id), { recursive: true, mode: 0o711 });
  await mkdir(dirname(hall.layout.netns(row.id)), { recursive: true, mode: 0o755 });
  await pinSandbox({
    ...row.namespaces,
    hostname: sandboxHostname(row.config),
    sysctls: effectiveSysctls(row.config, hall.options.defaultSysctls),
  });
}

async function makeFiles(hall: Hall, op: Operation, row: SandboxRow): Promise<void> {
  const { id } = row;
  await op.step(
    'write files',
    async () => {
      await mkdir(hall.layout.sandbox(id), { recursive: true, mode: 0o711 });
      await writeSandboxFiles(hall.layout.sandbox(id), row.config);
    },
    () => removeTree(hall.layout.sandbox(id)),
  );
  if (row.namespaces.ipc === null) return;
  await op.step(
    'mount shm',
    async () => {
      await mkdir(hall.layout.shm(id), { recursive: true, mode: 0o711 });
      await mountTmpfs(hall.layout.shm(id), {
        size: SHM_BYTES,
        mode: 0o1777,
        options: ['noexec', 'nosuid', 'nodev'],
      });
    },
    async () => {
      await unmount(hall.layout.shm(id));
      await removeTree(hall.layout.sandboxRun(id));
    },
  );
}

async function addNetwork(
  hall: Hall,
  op: Operation,
  row: SandboxRow,
  signal: AbortSignal,
): Promise<SandboxNetwork | null> {
  const { net } = row.namespaces;
  if (net === null) return null;
  const request = networkRequest(row);
  let network: SandboxNetwork | null = null;
  // Owed before the ADD: where it fails and so does its own clean-up, DEL is tried once more, and if that
  // fails too the sandbox stays NOTREADY, so that no address is lost.
  op.owe('cni add', () => hall.cni.del(request, network));
  network = await op.step('cni add', () => hall.cni.add(request, signal));
  const sysctls = interfaceSysctls(row.config);
  if (sysctls.length > 0) await op.step('set interface sysctls', () => writeNetSysctls(net, sysctls));
  return network;
}

async function startInit(hall: Hall, op: Operation, row: SandboxRow): Promise<SandboxRow['init']> {
  if (row.config.security.namespaces.pid !== 'pod') return null;
  const cgroup = initCgroup(hall.options.cgroupDriver, row);
  if (cgroup !== null)
    await op.step(
      'make init cgroup',
      () => makeDirectory(cgroup, 0o755),
      () => removePodCgroup(hall, row),
    );
  return op.step(
    'start pod init',
    () => startPodInit({ cgroup, ...row.namespaces, pidFile: hall.layout.initPidFile(row.id) }),
    (init) => killProcess(init),
  );
}

function nameOf({ metadata }: SandboxConfig): string {
  return `${metadata.namespace}/${metadata.name}/${metadata.uid}/${metadata.attempt}`;
}

function requireFreeName(hall: Hall, config: SandboxConfig): void {
  const name = nameOf(config);
  const holder = hall.sandboxes.values().find((row) => nameOf(row.config) === name);
  if (holder !== undefined)
    throw new SkiffError(
      'already_exists',
      `sandbox ${name} (namespace/name/uid/attempt) is ${holder.id}; remove that one or raise the attempt`,
    );
}

function requireHandler(hall: Hall, handler: string): void {
  if (hall.runtimes.has(handler)) return;
  const known = [...hall.runtimes.keys()].filter((name) => name !== '').join(', ');
  throw new SkiffError(
    'not_found',
    `runtime handler "${handler}" is not configured; known: ${known}; add [runtimes.${handler}] to the configuration`,
  );
}
