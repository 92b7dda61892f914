/**
 * The writer thread of the state store: one SQLite database, one transaction
 * for all that has arrived while the last one was being synced (group commit).
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import {
  type JournalQuery,
  type JournalRow,
  TABLES,
  type WriterError,
  type WriterReply,
  type WriterRequest,
} from './state-protocol.ts';
import { isFull, makeRoomToOpen, StateReserve } from './state-reserve.ts';

const SCHEMA_VERSION = 2;
/** Entries that the journal keeps; older ones go in blocks. */
const JOURNAL_LIMIT = 100_000;

type Write = Extract<WriterRequest, { kind: 'write' }>;

if (parentPort === null) throw new Error('state-writer runs as a worker thread');
const port = parentPort;
const send = (reply: WriterReply) => port.postMessage(reply);

const { path } = workerData as { path: string };
const database = open();
if (database !== undefined) serve(database);

function open(): DatabaseSync | undefined {
  try {
    return read();
  } catch (cause) {
    if (makeRoomToOpen(path, cause)) return open();
    send({ kind: 'opened', tables: null, error: cause instanceof Error ? cause.message : String(cause) });
    return undefined;
  }
}

function read(): DatabaseSync {
  const db = new DatabaseSync(path);
  try {
    db.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=5000;');
    migrate(db);
    const tables = Object.fromEntries(TABLES.map((table) => [table, load(db, table)]));
    send({ kind: 'opened', tables, error: null });
    return db;
  } catch (cause) {
    db.close();
    throw cause;
  }
}

function migrate(db: DatabaseSync): void {
  const version = Number(db.prepare('PRAGMA user_version').get()?.user_version ?? 0);
  if (version > SCHEMA_VERSION)
    throw new Error(
      `${path} was written by a newer skiff (schema ${version}, this one knows ${SCHEMA_VERSION}); install that version or move the file away`,
    );
  // A full disk is no reason not to start.
  if (version === SCHEMA_VERSION) return;
  db.exec('BEGIN IMMEDIATE');
  db.exec('CREATE TABLE IF NOT EXISTS reserve (id INTEGER PRIMARY KEY, bytes BLOB)');
  for (const table of TABLES)
    db.exec(
      `CREATE TABLE IF NOT EXISTS ${table} (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, json TEXT NOT NULL)`,
    );
  db.exec(
    'CREATE TABLE IF NOT EXISTS journal (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, subject TEXT NOT NULL, what TEXT NOT NULL, detail TEXT)',
  );
  db.exec('CREATE INDEX IF NOT EXISTS journal_subject ON journal (subject, seq)');
  db.exec(`PRAGMA user_version=${SCHEMA_VERSION}`);
  db.exec('COMMIT');
}

function load(db: DatabaseSync, table: string): string[] {
  return db
    .prepare(`SELECT json FROM ${table} ORDER BY seq`)
    .all()
    .map((row) => String(row.json));
}

function serve(db: DatabaseSync): void {
  const reserve = new StateReserve({ path }, { db });
  reserve.hold();
  const find: Record<string, StatementSync> = {};
  const upsert: Record<string, StatementSync> = {};
  const remove: Record<string, StatementSync> = {};
  for (const table of TABLES) {
    find[table] = db.prepare(`SELECT 1 FROM ${table} WHERE id = ?`);
    upsert[table] = db.prepare(
      `INSERT INTO ${table} (id, json) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET json = excluded.json`,
    );
    remove[table] = db.prepare(`DELETE FROM ${table} WHERE id = ?`);
  }
  const note = db.prepare('INSERT INTO journal (at, subject, what, detail) VALUES (?, ?, ?, ?)');
  const prune = db.prepare('DELETE FROM journal WHERE seq <= ?');

  const apply = (write: Write): number[] => {
    for (const row of write.rows) {
      if (row.json === null) remove[row.table]?.run(row.id);
      else upsert[row.table]?.run(row.id, row.json);
    }
    return write.journal.map(({ at, entry }) => {
      const detail = entry.detail === undefined ? null : JSON.stringify(entry.detail);
      const seq = Number(note.run(at, entry.subject, entry.what, detail).lastInsertRowid);
      if (seq % 1000 === 0) prune.run(seq - JOURNAL_LIMIT);
      return seq;
    });
  };

  const transact = (writes: Write[]): number[][] => {
    db.exec('BEGIN IMMEDIATE');
    try {
      const seqs = writes.map(apply);
      db.exec('COMMIT');
      return seqs;
    } catch (cause) {
      if (db.isTransaction) db.exec('ROLLBACK');
      throw cause;
    }
  };

  const adds = (write: Write) =>
    write.rows.some((row) => row.json !== null && find[row.table]?.get(row.id) === undefined);

  /** On a full disk what is there may still change and go; what is new may not take the room for that. */
  const transactAlone = (write: Write): number[] => {
    try {
      return transact([write])[0] ?? [];
    } catch (cause) {
      if (!isFull(cause) || adds(write)) throw cause;
      reserve.carryOver();
      return transact([write])[0] ?? [];
    }
  };

  const commitAlone = (write: Write): void => {
    const { call } = write;
    try {
      send({ kind: 'done', calls: [{ call, seqs: transactAlone(write), error: null }] });
    } catch (cause) {
      send({ kind: 'done', calls: [{ call, seqs: [], error: describe(cause) }] });
    }
  };

  const commit = (writes: Write[]): void => {
    if (writes.length === 0) return;
    try {
      reserve.adapt();
      const seqs = transact(writes);
      send({
        kind: 'done',
        calls: writes.map((w, i) => ({ call: w.call, seqs: seqs[i] ?? [], error: null })),
      });
    } catch {
      // One write must not fail another: each gets a transaction of its own, and its own error.
      for (const write of writes) commitAlone(write);
    }
  };

  port.on('message', (first: WriterRequest) => {
    const writes: Write[] = [];
    for (let request: WriterRequest | undefined = first; request !== undefined; request = next()) {
      if (request.kind === 'write') {
        writes.push(request);
        continue;
      }
      // What was asked after a write sees it.
      commit(writes.splice(0));
      if (request.kind === 'query')
        send({ kind: 'rows', call: request.call, rows: query(db, request.query) });
      else {
        db.close();
        send({ kind: 'closed', call: request.call });
        port.close();
        return;
      }
    }
    commit(writes);
  });
}

function next(): WriterRequest | undefined {
  return receiveMessageOnPort(port)?.message;
}

function query(db: DatabaseSync, { subject, after, limit }: JournalQuery): JournalRow[] {
  const rows = db
    .prepare(
      'SELECT seq, at, subject, what, detail FROM journal WHERE seq > ? AND substr(subject, 1, ?) = ? ORDER BY seq DESC LIMIT ?',
    )
    .all(after, subject.length, subject, limit);
  return rows.reverse().map((row) => ({
    seq: Number(row.seq),
    at: String(row.at),
    subject: String(row.subject),
    what: String(row.what),
    ...(row.detail === null ? {} : { detail: JSON.parse(String(row.detail)) }),
  }));
}

function describe(cause: unknown): WriterError {
  return { message: cause instanceof Error ? cause.message : String(cause), full: isFull(cause) };
}
