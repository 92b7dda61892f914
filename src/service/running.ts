import { setTimeout as sleep } from 'node:timers/promises';
import { nowNs } from '../base/clock.ts';
import { SkiffError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Rows } from '../base/rows.ts';
import { settleAll } from '../base/settle.ts';
import { exitReason } from '../container/exit-reason.ts';
import type { ContainerRow } from '../container/types.ts';
import { killCgroup, removeCgroup } from '../os/cgroup.ts';
import { unmount } from '../os/mount.ts';
import type { OciRuntime } from '../os/oci-runtime.ts';
import { type ExitRecord, readExitRecord, type Shim } from '../os/shim.ts';
import type { Layout } from './layout.ts';

/** Exit code of a container of which nobody knows how it ended, as containerd has it. */
const UNKNOWN_EXIT_CODE = 255;
/** Pause before an end that could not be written is written again. */
const WRITE_RETRY_MS = 1000;

/** One container that runs. */
export interface RunningContainer {
  shim: Shim;
  /** The stop signal was sent already. */
  stopSent: boolean;
  /** Resolves when the row says that the container has exited. */
  ended: Promise<void>;
  /** Resolves when the OCI runtime has forgotten the container too: its cgroup is gone. */
  gone: Promise<void>;
}

/**
 * The containers that run now: their shims, and what happens when they end.
 * The shim writes how a container ended before it tells; this writes the row,
 * tells the events and lets the OCI runtime clean up.
 */
export class Running {
  readonly #entries = new Map<string, RunningContainer>();
  readonly #layout: Layout;
  readonly #containers: Rows<ContainerRow>;
  readonly #runtimeOf: (handler: string) => OciRuntime;
  readonly #onEnd: (row: ContainerRow) => void;
  readonly #log: Log;
  #closed = false;

  constructor(
    options: { layout: Layout },
    deps: {
      containers: Rows<ContainerRow>;
      runtimeOf: (handler: string) => OciRuntime;
      onEnd: (row: ContainerRow) => void;
      log: Log;
    },
  ) {
    this.#layout = options.layout;
    this.#containers = deps.containers;
    this.#runtimeOf = deps.runtimeOf;
    this.#onEnd = deps.onEnd;
    this.#log = deps.log;
  }

  get(id: string): RunningContainer | undefined {
    return this.#entries.get(id);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Follows `row` through `shim` until its end. */
  watch(row: ContainerRow, shim: Shim): void {
    const ended = shim.exited.then((told) => this.#end(row, told));
    const gone = ended.then(() => this.forget(row));
    const entry = { shim, stopSent: false, ended, gone };
    this.#entries.set(row.id, entry);
    gone
      .catch((cause) =>
        this.#log.error({ id: row.id, err: cause }, 'clean-up after the end of a container failed'),
      )
      .finally(() => {
        if (this.#entries.get(row.id) === entry) this.#entries.delete(row.id);
      });
  }

  /** Records the end of a container whose shim is not there any more (after a restart of the daemon). */
  async recordLost(row: ContainerRow): Promise<void> {
    await this.#end(row, null);
    await this.forget(row);
  }

  /** Frees what the OCI runtime and the kernel still keep of a container that has ended; nothing there is fine. */
  async forget(row: ContainerRow): Promise<void> {
    await settleAll([this.forgetRuntime(row), unmount(row.rootfs.merged)]);
  }

  /** As `forget`, but the root file system stays mounted: the container can be started again. */
  async forgetRuntime(row: ContainerRow): Promise<void> {
    await this.#runtimeOf(row.runtimeHandler).delete(row.id, { force: true });
    await removeCgroup(row.cgroupPath);
  }

  /** Lets go of all shims; the containers run on. */
  close(): void {
    this.#closed = true;
    for (const entry of this.#entries.values()) entry.shim.disconnect();
  }

  async #end(row: ContainerRow, told: ExitRecord | null): Promise<void> {
    // The daemon goes, not the container: the next daemon finds it again.
    if (this.#closed) return new Promise(() => undefined);
    const record = told ?? (await readExitRecord(this.#layout.exitFile(row.id)).catch(() => undefined));
    if (record === undefined) {
      this.#log.warn({ id: row.id }, 'the shim is gone without a word; the container is ended');
      await killCgroup(row.cgroupPath).catch(() => undefined);
    }
    const end = describeEnd(record);
    for (;;) {
      try {
        const after = await this.#containers.update(
          row.id,
          (now) => (now.finishedAt === null ? { ...now, ...end, pid: null, shim: null } : now),
          { subject: row.id, what: 'exited', detail: { exitCode: end.exitCode, reason: end.reason } },
        );
        this.#onEnd(after);
        return;
      } catch (cause) {
        if (SkiffError.from(cause).code === 'not_found' || this.#closed) return;
        this.#log.error(
          { id: row.id, err: cause },
          'the end of a container could not be written; trying again',
        );
        await sleep(WRITE_RETRY_MS, undefined, { ref: false });
      }
    }
  }
}

function describeEnd(record: ExitRecord | undefined) {
  if (record === undefined)
    return {
      finishedAt: nowNs(),
      exitCode: UNKNOWN_EXIT_CODE,
      reason: 'Unknown',
      message: 'the process that watched the container is gone and left no exit record',
    };
  return {
    finishedAt: record.finishedAt,
    exitCode: record.exitCode,
    reason: exitReason(record),
    message: '',
  };
}
