import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { SkiffError } from '../../base/errors.ts';
import { workerUrl } from '../../base/workers.ts';
import type { FromWorker, LayerResult, LayerTask, ToWorker, WorkerData } from './protocol.ts';
import { fromWire } from './wire-error.ts';

interface Job {
  resolve(result: LayerResult): void;
  reject(error: unknown): void;
  onBytes(received: number): void;
}

interface Member {
  worker: Worker;
  jobs: Map<number, Job>;
  idle: NodeJS.Timeout | undefined;
}

export interface PoolOptions {
  /** Workers at most; each takes several tasks where there are more. */
  size?: number;
  /** A worker without a task ends after so long, in milliseconds. */
  idleMs?: number;
}

const DEFAULT_SIZE = Math.min(Math.max(availableParallelism(), 2), 4);
const DEFAULT_IDLE_MS = 10_000;
/** Small, because what a worker reads from its socket is freed when its young garbage is. */
const WORKER_LIMITS = { maxYoungGenerationSizeMb: 2 };

/** Worker threads that make layers, started when there is work and ended when there is none. */
export class LayerPool {
  readonly #size: number;
  readonly #idleMs: number;
  readonly #members = new Set<Member>();
  /** How many tasks run, for the workers to see: one number. */
  readonly #busy = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  #nextId = 1;

  constructor(options: PoolOptions = {}) {
    this.#size = options.size ?? DEFAULT_SIZE;
    this.#idleMs = options.idleMs ?? DEFAULT_IDLE_MS;
  }

  /**
   * Runs `task` in a worker. Rejects with the signal's reason when it aborts,
   * and only after the worker has stopped writing. `onBytes` hears how much of a packed layer came.
   */
  async run(
    task: LayerTask,
    signal: AbortSignal,
    onBytes: (received: number) => void = () => undefined,
  ): Promise<LayerResult> {
    signal.throwIfAborted();
    const member = this.#take();
    Atomics.add(this.#busy, 0, 1);
    const id = this.#nextId++;
    const abort = () => post(member, { kind: 'abort', id });
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await new Promise<LayerResult>((resolve, reject) => {
        member.jobs.set(id, { resolve, reject, onBytes });
        post(member, { kind: 'start', id, task });
      });
    } catch (cause) {
      throw signal.aborted ? signal.reason : cause;
    } finally {
      signal.removeEventListener('abort', abort);
      member.jobs.delete(id);
      Atomics.sub(this.#busy, 0, 1);
      this.#rest(member);
    }
  }

  /** Ends all workers; tasks under way are rejected. */
  async close(): Promise<void> {
    const members = [...this.#members];
    await Promise.all(members.map((member) => this.#end(member)));
  }

  #take(): Member {
    const members = [...this.#members].sort((a, b) => a.jobs.size - b.jobs.size);
    const least = members[0];
    const member =
      least !== undefined && (least.jobs.size === 0 || members.length >= this.#size) ? least : this.#start();
    clearTimeout(member.idle);
    member.worker.ref();
    return member;
  }

  #start(): Member {
    const worker = new Worker(workerUrl('layer-worker'), {
      resourceLimits: WORKER_LIMITS,
      workerData: { busy: this.#busy } satisfies WorkerData,
    });
    const member: Member = { worker, jobs: new Map(), idle: undefined };
    this.#members.add(member);
    worker.on('message', (message: FromWorker) => {
      const job = member.jobs.get(message.id);
      if (message.kind === 'bytes') job?.onBytes(message.received);
      else if (message.kind === 'done') job?.resolve(message.result);
      else job?.reject(fromWire(message.error));
    });
    worker.on('error', (cause) => this.#lost(member, cause));
    worker.on('exit', () => this.#lost(member, undefined));
    return member;
  }

  #rest(member: Member): void {
    if (member.jobs.size > 0 || !this.#members.has(member)) return;
    member.worker.unref();
    member.idle = setTimeout(() => void this.#end(member), this.#idleMs);
    member.idle.unref();
  }

  async #end(member: Member): Promise<void> {
    this.#members.delete(member);
    clearTimeout(member.idle);
    await member.worker.terminate();
  }

  #lost(member: Member, cause: unknown): void {
    this.#members.delete(member);
    const error = SkiffError.from(cause ?? new Error('the worker thread ended'), 'unpack layer');
    for (const job of member.jobs.values()) job.reject(error);
  }
}

function post(member: Member, message: ToWorker): void {
  member.worker.postMessage(message);
}
