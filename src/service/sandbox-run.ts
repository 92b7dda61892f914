import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { nowNs } from '../base/clock.ts';
import { SkiffError } from '../base/errors.ts';
import { makeDirectory } from '../base/files.ts';
import { newId } from '../base/id.ts';
import type { Operation } from '../base/operation.ts';
import { settleAll } from '../base/settle.ts';
import { leftAttached } from '../os/cni/cni.ts';
import { mountTmpfs } from '../os/mount.ts';
import { pinSandbox, writeNetSysctls } from '../os/namespaces.ts';
import { startPodInit } from '../os/shim.ts';
import { removeTree } from '../os/tree.ts';
import { initCgroup, podCgroupParent } from '../sandbox/cgroup-parent.ts';
import { sandboxHostname, writeSandboxFiles } from '../sandbox/files.ts';
import { networkRequest } from '../sandbox/network-request.ts';
import { effectiveSysctls, interfaceSysctls } from '../sandbox/sysctls.ts';
import type { SandboxConfig, SandboxRow } from '../sandbox/types.ts';
import { validateSandbox } from '../sandbox/validate.ts';
import type { CallContext } from './api.ts';
import { emitSandbox } from './emit.ts';
import type { Hall } from './hall.ts';
import { markNotReady, watchInit } from './sandbox-notready.ts';
import { teardownSandbox } from './sandbox-teardown.ts';

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
    const made: Made = { row, attached: false };
    // Owed before anything is made, because a step may fail half-way.
    op.owe('sandbox', () => undo(hall, made));
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
      op.step('pin namespaces', () => pin(hall, row)),
      makeFiles(hall, op, row),
    ]);
    signal.throwIfAborted();
    await addNetwork(hall, op, made, signal);
    signal.throwIfAborted();
    await startInit(hall, op, made);
    const { network, init } = made.row;
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

/** What of a sandbox may be there by now. */
interface Made {
  row: SandboxRow;
  /** The network holds something for it. */
  attached: boolean;
}

async function undo(hall: Hall, { row, attached }: Made): Promise<void> {
  await teardownSandbox(hall, row, { attached });
  await removeTree(hall.layout.sandbox(row.id));
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
  await op.step('write files', async () => {
    await mkdir(hall.layout.sandbox(id), { recursive: true, mode: 0o711 });
    await writeSandboxFiles(hall.layout.sandbox(id), row.config);
  });
  if (row.namespaces.ipc === null) return;
  await op.step('mount shm', async () => {
    await mkdir(hall.layout.shm(id), { recursive: true, mode: 0o711 });
    await mountTmpfs(hall.layout.shm(id), {
      size: SHM_BYTES,
      mode: 0o1777,
      options: ['noexec', 'nosuid', 'nodev'],
    });
  });
}

async function addNetwork(hall: Hall, op: Operation, made: Made, signal: AbortSignal): Promise<void> {
  const { row } = made;
  const { net } = row.namespaces;
  if (net === null) return;
  try {
    const network = await op.step('cni add', () => hall.cni.add(networkRequest(row), signal));
    Object.assign(made, { row: { ...row, network }, attached: true });
  } catch (cause) {
    // DEL is tried once more then, and if that fails too the sandbox stays NOTREADY, so that no address is lost.
    made.attached = leftAttached(cause);
    throw cause;
  }
  const sysctls = interfaceSysctls(row.config);
  if (sysctls.length > 0) await op.step('set interface sysctls', () => writeNetSysctls(net, sysctls));
}

async function startInit(hall: Hall, op: Operation, made: Made): Promise<void> {
  const { row } = made;
  if (row.config.security.namespaces.pid !== 'pod') return;
  const cgroup = initCgroup(hall.options.cgroupDriver, row);
  if (cgroup !== null) await op.step('make init cgroup', () => makeDirectory(cgroup, 0o755));
  const init = await op.step('start pod init', () =>
    startPodInit({ cgroup, ...row.namespaces, pidFile: hall.layout.initPidFile(row.id) }),
  );
  made.row = { ...row, init };
}

function nameOf({ metadata }: SandboxConfig): string {
  return `${metadata.namespace}/${metadata.name}/${metadata.uid}/${metadata.attempt}`;
}

function requireFreeName(hall: Hall, config: SandboxConfig): void {
  const name = nameOf(config);
  // A call under way has been joined: what is still INITIALIZED is undone already, and only its row is left.
  const holder = hall.sandboxes
    .values()
    .find((row) => row.state !== 'initialized' && nameOf(row.config) === name);
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
