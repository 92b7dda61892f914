import { Worker } from 'node:worker_threads';
import { nowNs } from './clock.ts';
import { SkiffError } from './errors.ts';
import { Rows } from './rows.ts';
import type {
  JournalEntry,
  JournalQuery,
  JournalRow,
  RowWrite,
  TableName,
  WriterReply,
  WriterRequest,
} from './state-protocol.ts';
import { workerUrl } from './workers.ts';

type Pending = { resolve: (value: unknown) => void; reject: (cause: unknown) => void; journal: JournalRow[] };

/**
 * The durable state: one SQLite database (WAL, synchronous=FULL) written by a
 * thread of its own with group commit, because an fsync may take long and must
 * not hold the event loop. Reads come from memory (`Rows`). What a promise of
 * this class has resolved for survives a power cut.
 */
export class StateStore {
  readonly #worker: Worker;
  readonly #tables: Record<string, string[]>;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(row: JournalRow) => void>();
  #calls = 0;
  #closed = false;

  private constructor(worker: Worker, tables: Record<string, string[]>) {
    this.#worker = worker;
    this.#tables = tables;
    worker.on('message', (reply: WriterReply) => this.#onReply(reply));
    worker.on('error', (cause) => this.#failAll(cause));
    worker.on('exit', () => this.#failAll(new Error('the writer thread has ended')));
  }

  /** Opens or makes the database at `path`. Fails with `failed_precondition` where it cannot be read. */
  static async open(path: string): Promise<StateStore> {
    const worker = new Worker(workerUrl('state-writer'), { workerData: { path }, name: 'state-writer' });
    const opened = await new Promise<WriterReply>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    if (opened.kind !== 'opened' || opened.tables === null) {
      await worker.terminate();
      const why = opened.kind === 'opened' ? opened.error : 'unexpected reply';
      throw new SkiffError('failed_precondition', `open state database ${path}: ${why}`);
    }
    return new StateStore(worker, opened.tables);
  }

  /** The rows of one table, as they were stored when the database was opened. Call once per table. */
  rows<T extends { id: string }>(table: TableName): Rows<T> {
    const stored = (this.#tables[table] ?? []).map((json) => JSON.parse(json) as T);
    this.#tables[table] = [];
    return new Rows<T>({ table }, { writer: this, stored });
  }

  /** Writes rows and journal entries in one transaction; resolves when they are on disk. */
  async write(rows: RowWrite[], journal: JournalEntry[]): Promise<void> {
    const stamped = journal.map((entry) => ({ at: nowNs(), entry }));
    const told = stamped.map(({ at, entry }) => ({ ...entry, at, seq: 0 }));
    await this.#ask({ kind: 'write', call: ++this.#calls, rows, journal: stamped }, told);
  }

  /** Journal entries, oldest first. */
  async journal(query: JournalQuery): Promise<JournalRow[]> {
    return (await this.#ask({ kind: 'query', call: ++this.#calls, query }, [])) as JournalRow[];
  }

  /** Calls `listener` for every entry once it is on disk; the result ends that. */
  onJournal(listener: (row: JournalRow) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Waits for what is under way, closes the database and ends the thread. */
  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#ask({ kind: 'close', call: ++this.#calls }, []);
    this.#closed = true;
    await this.#worker.terminate();
  }

  #ask(request: WriterRequest, journal: JournalRow[]): Promise<unknown> {
    if (this.#closed) throw new SkiffError('unavailable', 'write state: the state store is closed');
    return new Promise((resolve, reject) => {
      this.#pending.set(request.call, { resolve, reject, journal });
      this.#worker.postMessage(request);
    });
  }

  #onReply(reply: WriterReply): void {
    if (reply.kind === 'rows') this.#settle(reply.call, (p) => p.resolve(reply.rows));
    if (reply.kind === 'closed') this.#settle(reply.call, (p) => p.resolve(undefined));
    if (reply.kind !== 'done') return;
    for (const { call, seqs, error } of reply.calls) {
      this.#settle(call, (pending) => {
        if (error === null) {
          pending.resolve(undefined);
          for (const [i, row] of pending.journal.entries()) this.#tell({ ...row, seq: seqs[i] ?? 0 });
        } else {
          const hint = error.full ? '; free some disk space and try again' : '';
          pending.reject(
            new SkiffError(
              error.full ? 'resource_exhausted' : 'internal',
              `write state: ${error.message}${hint}`,
            ),
          );
        }
      });
    }
  }

  #tell(row: JournalRow): void {
    for (const listener of this.#listeners) listener(row);
  }

  #settle(call: number, how: (pending: Pending) => void): void {
    const pending = this.#pending.get(call);
    this.#pending.delete(call);
    if (pending !== undefined) how(pending);
  }

  #failAll(cause: unknown): void {
    this.#closed = true;
    for (const call of [...this.#pending.keys()])
      this.#settle(call, (p) => p.reject(SkiffError.from(cause, 'write state')));
  }
}
