import { existsSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';

const RESERVE_BYTES = 1 << 20;
/** A disk with less room than this counts as full. */
const LOW_BYTES = 2 * RESERVE_BYTES;
/** Room is taken back only where there is much more, else it would go to and fro. */
const ENOUGH_BYTES = 2 * (LOW_BYTES + RESERVE_BYTES);
const SQLITE_FULL = 13;
const SQLITE_IOERR = 10;

/** True where the disk has no room for a write. */
export function isFull(cause: unknown): boolean {
  return cause instanceof Error && 'errcode' in cause && (Number(cause.errcode) & 0xff) === SQLITE_FULL;
}

/**
 * Where a database could not be opened for want of room (SQLite makes its log and its shared memory then), gives
 * back the file that `hold` has laid by for this; false where that was not it.
 */
export function makeRoomToOpen(path: string, cause: unknown): boolean {
  // The shared memory that finds no room is an I/O error (SQLITE_IOERR_SHMSIZE).
  const failed =
    cause instanceof Error && 'errcode' in cause && (Number(cause.errcode) & 0xff) === SQLITE_IOERR;
  if ((!failed && !isFull(cause)) || !existsSync(laidBy(path))) return false;
  rmSync(laidBy(path));
  return true;
}

function laidBy(path: string): string {
  return `${path}-reserve`;
}

/**
 * Room inside the database for the day on which the disk is full. Ends and
 * removals must be written then, as they are what makes room: a container that
 * filled the disk could else not be stopped. Nobody else can take this room: the
 * database takes new pages from it instead of growing, so that the write-ahead
 * log can be carried over into it and is then written over from its start
 * (https://sqlite.org/fileformat2.html, "WAL Reset").
 */
export class StateReserve {
  readonly #path: string;
  readonly #db: DatabaseSync;
  #held: boolean;

  /** `path`: the database file. */
  constructor(options: { path: string }, deps: { db: DatabaseSync }) {
    this.#path = options.path;
    this.#db = deps.db;
    this.#held = deps.db.prepare('SELECT 1 FROM reserve').get() !== undefined;
  }

  /** After opening: takes the room if the disk has it, and in any case what the log needs to be as large. */
  hold(): void {
    try {
      this.#db.exec(`INSERT OR REPLACE INTO reserve (id, bytes) VALUES (1, zeroblob(${RESERVE_BYTES}))`);
      this.#held = true;
      this.carryOver();
    } catch (cause) {
      if (!isFull(cause)) throw cause;
    }
    this.#layBy();
  }

  /** To be called before each write: gives the room away on a disk that is nearly full, and takes it back later. */
  adapt(): void {
    const room = this.#room();
    if (this.#held && room < LOW_BYTES) {
      this.#db.exec('DELETE FROM reserve');
      this.#held = false;
    } else if (!this.#held && room > ENOUGH_BYTES) this.hold();
  }

  /** Lets the log begin anew, where no one reads it. */
  carryOver(): void {
    this.#db.exec('PRAGMA wal_checkpoint(PASSIVE)');
  }

  #layBy(): void {
    const file = laidBy(this.#path);
    if (existsSync(file) || this.#room() < ENOUGH_BYTES) return;
    try {
      writeFileSync(file, Buffer.alloc(LOW_BYTES), { mode: 0o600 });
    } catch {
      rmSync(file, { force: true });
    }
  }

  #room(): number {
    const { bfree, bsize } = statfsSync(this.#path);
    return bfree * bsize;
  }
}
