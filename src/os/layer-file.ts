import { constants, fchmodSync, fchownSync, ftruncateSync, writeSync } from 'node:fs';
import { SkiffError } from '../base/errors.ts';
import type { LayerEntry, SparsePart } from './layer-entry.ts';
import { AT, type Native, RESOLVE } from './native.ts';

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const MODE_BITS = 0o7777;
const EMPTY = Buffer.alloc(0);

export interface LayerFileDeps {
  native: Native;
  /** Calls `make` with the file's directory and name, once that is free. */
  place: (make: (parent: number, base: Buffer) => void) => void;
}

/**
 * One regular file of a layer, made when its data comes: in a single call where all
 * of it lies in one chunk, as with most files, because every crossing into the kernel
 * counts. xattrs are left to the caller.
 */
export class LayerFile {
  readonly #entry: LayerEntry;
  readonly #deps: LayerFileDeps;
  /** What of a sparse file is still to come, the next part last. */
  readonly #parts: SparsePart[] | null;
  #fd = -1;
  #written = 0;

  constructor(entry: LayerEntry, deps: LayerFileDeps) {
    this.#entry = entry;
    this.#deps = deps;
    this.#parts =
      entry.sparse
        ?.filter((part) => part.length > 0)
        .map((part) => ({ ...part }))
        .reverse() ?? null;
  }

  write(chunk: Buffer): void {
    const { size } = this.#entry;
    if (this.#parts === null && this.#written === 0 && chunk.length === size) this.#put(chunk);
    else {
      this.#open();
      if (this.#parts === null) this.#writeAt(chunk, null);
      else this.#writeParts(chunk, this.#parts);
    }
    this.#written += chunk.length;
  }

  /** All data has come: length, owner, mode and times. */
  end(): void {
    if (this.#written === 0 && this.#entry.size === 0) this.#put(EMPTY);
    if (this.#parts !== null) {
      this.#open();
      ftruncateSync(this.#fd, this.#entry.size);
    }
    if (this.#fd < 0) return;
    try {
      this.#finish();
    } finally {
      this.close();
    }
  }

  /** Also in the middle. */
  close(): void {
    if (this.#fd >= 0) this.#deps.native.close(this.#fd);
    this.#fd = -1;
  }

  #put(data: Buffer): void {
    const { mode, uid, gid, atime, mtime } = this.#entry;
    const { native } = this.#deps;
    this.#deps.place((parent, base) =>
      native.putFile(
        parent,
        base,
        data,
        mode & MODE_BITS,
        uid,
        gid,
        atime.sec,
        atime.nsec,
        mtime.sec,
        mtime.nsec,
      ),
    );
  }

  #open(): void {
    if (this.#fd >= 0) return;
    this.#deps.place((parent, base) => {
      this.#fd = this.#deps.native.openat2(
        parent,
        base,
        CREATE,
        0o600,
        RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS,
      );
    });
  }

  #finish(): void {
    const { mode, uid, gid, atime, mtime } = this.#entry;
    // In this order: a change of owner drops setuid bits.
    if (uid !== 0 || gid !== 0) fchownSync(this.#fd, uid, gid);
    fchmodSync(this.#fd, mode & MODE_BITS);
    const { sec, nsec } = mtime;
    this.#deps.native.utimensat(this.#fd, EMPTY, atime.sec, atime.nsec, sec, nsec, AT.EMPTY_PATH);
  }

  /** What is not written stays a hole. */
  #writeParts(chunk: Buffer, parts: SparsePart[]): void {
    for (let at = 0; at < chunk.length; ) {
      const part = parts.at(-1);
      if (part === undefined) throw new SkiffError('internal', 'more data came than the file has parts');
      const piece = chunk.subarray(at, at + part.length);
      this.#writeAt(piece, part.offset);
      at += piece.length;
      part.offset += piece.length;
      part.length -= piece.length;
      if (part.length === 0) parts.pop();
    }
  }

  #writeAt(chunk: Buffer, position: number | null): void {
    for (let done = 0; done < chunk.length; ) {
      const at = position === null ? null : position + done;
      done += writeSync(this.#fd, chunk, done, chunk.length - done, at);
    }
  }
}
