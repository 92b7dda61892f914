/** Messages between the state store and its writer thread. */

/** One change of one row; `json` null deletes it. */
export interface RowWrite {
  table: string;
  id: string;
  json: string | null;
}

/** What a caller says about a change: `what` happened to `subject` (an id, an image reference). */
export interface JournalEntry {
  subject: string;
  what: string;
  detail?: Record<string, unknown>;
}

/** A journal entry as stored. `at` in nanoseconds since the epoch, decimal. */
export interface JournalRow extends JournalEntry {
  seq: number;
  at: string;
}

export interface JournalQuery {
  /** '' = all subjects; else those that start with it. */
  subject: string;
  /** Only entries with a greater sequence number. */
  after: number;
  /** The newest `limit` of them. */
  limit: number;
}

export type WriterRequest =
  | { kind: 'write'; call: number; rows: RowWrite[]; journal: { at: string; entry: JournalEntry }[] }
  | { kind: 'query'; call: number; query: JournalQuery }
  | { kind: 'close'; call: number };

export type WriterReply =
  | { kind: 'opened'; tables: Record<string, string[]>; error: null }
  | { kind: 'opened'; tables: null; error: string }
  | { kind: 'done'; calls: { call: number; seqs: number[]; error: WriterError | null }[] }
  | { kind: 'rows'; call: number; rows: JournalRow[] }
  | { kind: 'closed'; call: number };

export interface WriterError {
  message: string;
  /** SQLITE_FULL: the disk has no room. */
  full: boolean;
}

/** One table per noun, plus the journal. Rows are JSON, keyed by id. */
export const TABLES = ['sandboxes', 'containers', 'images', 'layers', 'meta'] as const;
export type TableName = (typeof TABLES)[number];
