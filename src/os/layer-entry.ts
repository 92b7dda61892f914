/**
 * One entry of a layer, as the writer takes it. Paths are relative to the
 * layer's root, clean (no `.`, `..`, empty part or slash at an end), and hold one
 * character per byte (latin1): file names are bytes, not text. '' is the root.
 */
export interface LayerEntry {
  type: 'file' | 'link' | 'symlink' | 'character-device' | 'block-device' | 'directory' | 'fifo';
  path: string;
  /** Of a hard link: a clean path in this layer. Of a symbolic link: its text. Latin1. */
  target: string;
  /** Permission bits with setuid, setgid and sticky. */
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of a file's content. */
  size: number;
  /** The parts of a sparse file that follow as data, in order; the rest is holes. Null: all of it follows. */
  sparse: SparsePart[] | null;
  atime: Timestamp;
  mtime: Timestamp;
  xattrs: { name: string; value: Buffer }[];
  deviceMajor: number;
  deviceMinor: number;
}

export interface SparsePart {
  offset: number;
  length: number;
}

/** Seconds since the epoch, may be negative, and nanoseconds from there. */
export interface Timestamp {
  sec: number;
  nsec: number;
}

/** The file names of this module as bytes. */
export function bytesOf(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}

/** `a/b` of `a/b/c`, '' of `a`. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}

/** `c` of `a/b/c`. */
export function baseOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Readable form of a path for messages. */
export function showPath(path: string): string {
  return JSON.stringify(`/${bytesOf(path).toString('utf8')}`);
}
