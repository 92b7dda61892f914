import { SkiffError } from './errors.ts';
import type { JournalEntry, RowWrite, TableName } from './state-protocol.ts';

/** What rows are written through: the state store. */
export interface RowWriter {
  write(rows: RowWrite[], journal: JournalEntry[]): Promise<void>;
}

/**
 * One noun's rows: in memory for reading, in the state store for keeps. A row
 * is written before it is published in memory, so nobody acts on what a crash
 * could take back. Row objects are replaced, never changed in place: a reader
 * may key a cache by the object.
 */
export class Rows<T extends { id: string }> {
  readonly #table: TableName;
  readonly #writer: RowWriter;
  readonly #rows = new Map<string, T>();
  /** Changes of one row go one after another. */
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #listeners = new Set<(before: T | undefined, after: T | undefined) => void>();

  constructor(options: { table: TableName }, deps: { writer: RowWriter; stored: T[] }) {
    this.#table = options.table;
    this.#writer = deps.writer;
    for (const row of deps.stored) this.#rows.set(row.id, row);
  }

  get(id: string): T | undefined {
    return this.#rows.get(id);
  }

  /** All rows, in the order in which they were inserted. */
  values(): T[] {
    return [...this.#rows.values()];
  }

  get size(): number {
    return this.#rows.size;
  }

  /**
   * The row whose id is `id` or starts with it. Undefined where none does;
   * `invalid_argument` where several do.
   */
  find(id: string): T | undefined {
    const exact = this.#rows.get(id);
    if (exact !== undefined || id === '') return exact;
    const matches = this.values().filter((row) => row.id.startsWith(id));
    if (matches.length > 1)
      throw new SkiffError('invalid_argument', `id ${id} is ambiguous: ${matches.length} ids start with it`);
    return matches[0];
  }

  /** Adds a row; `already_exists` where its id is taken. */
  insert(row: T, why: JournalEntry): Promise<T> {
    return this.#turn(row.id, async () => {
      if (this.#rows.has(row.id))
        throw new SkiffError('already_exists', `${this.#table}: ${row.id} is there already`);
      await this.#writer.write([this.#write(row.id, row)], [why]);
      this.#publish(row.id, row);
      return row;
    });
  }

  /**
   * Replaces the row by `change(row)`. Where `change` returns the same object
   * nothing is written. `not_found` where the row is gone.
   */
  update(id: string, change: (row: T) => T, why: JournalEntry): Promise<T> {
    return this.#turn(id, async () => {
      const before = this.#rows.get(id);
      if (before === undefined) throw new SkiffError('not_found', `${this.#table}: no ${id}`);
      const after = change(before);
      if (after === before) return before;
      await this.#writer.write([this.#write(id, after)], [why]);
      this.#publish(id, after);
      return after;
    });
  }

  /** Removes the row; nothing there is fine. */
  delete(id: string, why: JournalEntry): Promise<void> {
    return this.#turn(id, async () => {
      if (!this.#rows.has(id)) return;
      await this.#writer.write([this.#write(id, null)], [why]);
      this.#publish(id, undefined);
    });
  }

  /** Calls `listener` after every change, with the row before and after it. */
  onChange(listener: (before: T | undefined, after: T | undefined) => void): void {
    this.#listeners.add(listener);
  }

  #write(id: string, row: T | null): RowWrite {
    return { table: this.#table, id, json: row === null ? null : JSON.stringify(row) };
  }

  #publish(id: string, row: T | undefined): void {
    const before = this.#rows.get(id);
    if (row === undefined) this.#rows.delete(id);
    else this.#rows.set(id, row);
    for (const listener of this.#listeners) listener(before, row);
  }

  #turn<R>(id: string, work: () => Promise<R>): Promise<R> {
    const before = this.#turns.get(id) ?? Promise.resolve();
    const mine = before.then(work, work);
    const settled = mine.catch(() => undefined);
    this.#turns.set(id, settled);
    settled.then(() => {
      if (this.#turns.get(id) === settled) this.#turns.delete(id);
    });
    return mine;
  }
}
