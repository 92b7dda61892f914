import { errnoOf, messageOf, SkiffError } from '../base/errors.ts';
import { baseOf, bytesOf, type LayerEntry, parentOf, showPath, type Timestamp } from './layer-entry.ts';
import { LayerFile } from './layer-file.ts';
import { LayerTree } from './layer-tree.ts';
import { AT, type Native, native } from './native.ts';

/** What a finished layer tells: see LayerRow. */
export interface LayerFacts {
  implicitDirs: string[];
  /** Its root hides all layers below. */
  opaqueRoot: boolean;
  /** An entry has taken another one's place, whose content is gone. */
  replaced: boolean;
  /** Things in the archive that were left out, a sentence each; at most a hundred. */
  warnings: string[];
}

/** Takes the data of one regular file, and must hear of their end. A chunk is read during the call only. */
export interface FileSink {
  /** Where in the layer the file is: no link on the way. */
  readonly path: string;
  write(chunk: Buffer): void;
  end(): void;
}

const DEVICE_TYPES = { 'character-device': 0o020000, 'block-device': 0o060000, fifo: 0o010000 } as const;
const MODE_BITS = 0o7777;
const MAX_WARNINGS = 100;
/** The kernel's own bookkeeping and what the node's policy decides: never taken from an archive. */
const FOREIGN_XATTRS = ['trusted.overlay.', 'user.overlay.', 'security.selinux'];

/**
 * Writes a layer's entries into an empty directory in the form that overlayfs
 * takes as a lower directory (OCI image-spec layer.md; whiteouts become 0/0
 * devices, opaque whiteouts an xattr). Synchronous: for worker threads. The
 * later of two entries with one name wins.
 */
export class LayerWriter {
  readonly #native: Native;
  readonly #tree: LayerTree;
  /** Set last: every entry made in a directory changes its time. */
  readonly #directoryTimes = new Map<string, { atime: Timestamp; mtime: Timestamp }>();
  readonly #warnings: string[] = [];
  #opaqueRoot = false;
  #replaced = false;
  /** The file whose data comes in, or came in last. */
  #file: LayerFile | undefined;

  /** `directory` must be empty and nobody else's. */
  constructor(directory: string) {
    this.#native = native();
    this.#tree = new LayerTree(directory, this.#native);
  }

  /** Writes one entry; a file through the sink that comes back. */
  add(entry: LayerEntry): FileSink | undefined {
    try {
      return this.#add(entry);
    } catch (cause) {
      throw this.#failed(entry.path, cause);
    }
  }

  /** `path` is gone, seen from this layer; what this layer has there itself stays. */
  whiteout(path: string): void {
    try {
      const at = this.#tree.locate(path);
      if (this.#tree.isDirectory(at)) this.#tree.makeOpaque(at);
      else if (!this.#tree.isWhiteout(at)) this.#unlessThere(() => this.#tree.makeWhiteout(at));
    } catch (cause) {
      throw this.#failed(path, cause);
    }
  }

  /** Directory `path` shows nothing of the layers below. */
  opaque(path: string): void {
    try {
      const at = this.#tree.locateDirectory(path);
      // overlayfs does not look for the xattr on a layer's root: layers below are left out of the mount instead.
      if (at === '') this.#opaqueRoot = true;
      else this.#tree.makeOpaque(at);
    } catch (cause) {
      throw this.#failed(path, cause);
    }
  }

  /** Sets the times of directories. Nothing may be added after it. */
  finish(): LayerFacts {
    for (const [path, { atime, mtime }] of this.#directoryTimes)
      if (this.#tree.isDirectory(path)) this.#setTimes(path, atime, mtime);
    return {
      implicitDirs: this.#tree.implicit(),
      opaqueRoot: this.#opaqueRoot,
      replaced: this.#replaced,
      warnings: this.#warnings,
    };
  }

  /** Gives up the descriptors, also in the middle of a file. */
  close(): void {
    this.#file?.close();
    this.#tree.close();
  }

  #add(entry: LayerEntry): FileSink | undefined {
    if (entry.type === 'directory') return this.#addDirectory(entry);
    if (entry.path === '')
      throw new SkiffError('failed_precondition', 'the root of a layer must be a directory');
    if (entry.type === 'character-device' && entry.deviceMajor === 0 && entry.deviceMinor === 0) {
      this.#warn(entry.path, 'a 0/0 device means a whiteout to overlayfs and is left out');
      return undefined;
    }
    const path = this.#tree.locate(entry.path);
    if (entry.type === 'file') return this.#addFile(path, entry);
    if (entry.type === 'link') {
      this.#addLink(path, entry);
      return undefined;
    }
    this.#replacing(path, (parent, base) => this.#make(entry, parent, base));
    if (entry.type === 'symlink') this.#tree.noteLink(path, entry.target);
    this.#setOwner(path, entry);
    if (entry.type !== 'symlink') this.#setMode(path, entry);
    this.#setXattrs(path, entry);
    this.#setTimes(path, entry.atime, entry.mtime);
    return undefined;
  }

  #make(entry: LayerEntry, parent: number, base: Buffer): void {
    if (entry.type === 'symlink') {
      this.#native.symlinkat(bytesOf(entry.target), parent, base);
      return;
    }
    const type = DEVICE_TYPES[entry.type as keyof typeof DEVICE_TYPES];
    this.#native.mknodat(parent, base, type | 0o600, entry.deviceMajor, entry.deviceMinor);
  }

  #addDirectory(entry: LayerEntry): undefined {
    const path = entry.path === '' ? '' : this.#tree.locate(entry.path);
    if (!this.#tree.isDirectory(path)) {
      const replaced = this.#replacing(path, (parent, base) => this.#native.mkdirat(parent, base, 0o700));
      // What stood here hid the lower layers' directory of that name, and so must its successor.
      if (replaced) this.#tree.makeOpaque(path);
    }
    this.#tree.noteDirectory(path, true);
    this.#setOwner(path, entry, true);
    this.#setMode(path, entry);
    this.#setXattrs(path, entry);
    this.#directoryTimes.set(path, { atime: entry.atime, mtime: entry.mtime });
    return undefined;
  }

  #addFile(path: string, entry: LayerEntry): FileSink {
    const guarded = (work: () => void) => {
      try {
        work();
      } catch (cause) {
        throw this.#failed(entry.path, cause);
      }
    };
    const file = new LayerFile(entry, {
      native: this.#native,
      place: (make) => this.#replacing(path, make),
    });
    this.#file = file;
    return {
      path,
      write: (chunk) => guarded(() => file.write(chunk)),
      end: () =>
        guarded(() => {
          file.end();
          // Last: a change of owner, and of content, drops file capabilities.
          this.#setXattrs(path, entry);
        }),
    };
  }

  #addLink(path: string, entry: LayerEntry): void {
    const target = this.#tree.find(entry.target);
    if (target === path) return;
    if (target === undefined || this.#tree.isWhiteout(target)) throw this.#noTarget(entry);
    try {
      this.#replacing(path, (parent, base) => {
        // Looked up here and not before: what is replaced may have been the target's own directory.
        const from = this.#tree.fd(parentOf(target));
        this.#native.linkat(from, bytesOf(baseOf(target)), parent, base, 0);
      });
    } catch (cause) {
      throw errnoOf(cause) === 'ENOENT' ? this.#noTarget(entry) : cause;
    }
  }

  #noTarget(entry: LayerEntry): SkiffError {
    return new SkiffError(
      'failed_precondition',
      `its hard link's target ${showPath(entry.target)} is not in this layer`,
    );
  }

  /** Runs `make` for a free name, removing what has it; true where something was removed. */
  #replacing(path: string, make: (parent: number, base: Buffer) => void): boolean {
    const parent = this.#tree.fd(parentOf(path));
    const base = bytesOf(baseOf(path));
    if (!this.#unlessThere(() => make(parent, base))) {
      this.#replaced = true;
      this.#tree.remove(path);
      // Removing may have closed descriptors of directories below; the parent's stays.
      make(parent, base);
      return true;
    }
    return false;
  }

  #unlessThere(make: () => void): boolean {
    try {
      make();
      return true;
    } catch (cause) {
      if (errnoOf(cause) === 'EEXIST') return false;
      throw cause;
    }
  }

  #setOwner(path: string, entry: LayerEntry, always = false): void {
    if (!always && entry.uid === 0 && entry.gid === 0) return;
    const [fd, base] = this.#at(path);
    const flags = AT.SYMLINK_NOFOLLOW | (base.length === 0 ? AT.EMPTY_PATH : 0);
    this.#native.fchownat(fd, base, entry.uid, entry.gid, flags);
  }

  #setMode(path: string, entry: LayerEntry): void {
    const [fd, base] = this.#at(path);
    this.#native.fchmodat(fd, base, entry.mode & MODE_BITS);
  }

  #setTimes(path: string, atime: Timestamp, mtime: Timestamp): void {
    const [fd, base] = this.#at(path);
    const flags = AT.SYMLINK_NOFOLLOW | (base.length === 0 ? AT.EMPTY_PATH : 0);
    this.#native.utimensat(fd, base, atime.sec, atime.nsec, mtime.sec, mtime.nsec, flags);
  }

  #setXattrs(path: string, entry: LayerEntry): void {
    if (entry.xattrs.length === 0) return;
    const [fd, base] = this.#at(path);
    for (const { name, value } of entry.xattrs) {
      if (FOREIGN_XATTRS.some((prefix) => name.startsWith(prefix))) {
        this.#warn(entry.path, `its xattr ${name} is the host's own business and is left out`);
        continue;
      }
      try {
        this.#native.setxattrat(fd, base, name, value);
      } catch (cause) {
        if (!this.#mayLack(entry, name, cause)) throw cause;
        this.#warn(entry.path, `its xattr ${name} could not be set (${messageOf(cause)})`);
      }
    }
  }

  /** A file system without xattrs, and user.* on what is neither file nor directory (xattr(7)), are no reason to fail. */
  #mayLack(entry: LayerEntry, name: string, cause: unknown): boolean {
    const errno = errnoOf(cause);
    if (errno === 'EOPNOTSUPP' || errno === 'ENOTSUP') return true;
    return errno === 'EPERM' && name.startsWith('user.') && !['file', 'directory'].includes(entry.type);
  }

  #at(path: string): [number, Buffer] {
    return path === ''
      ? [this.#tree.rootFd, Buffer.alloc(0)]
      : [this.#tree.fd(parentOf(path)), bytesOf(baseOf(path))];
  }

  #warn(path: string, what: string): void {
    if (this.#warnings.length < MAX_WARNINGS) this.#warnings.push(`${showPath(path)}: ${what}`);
  }

  #failed(path: string, cause: unknown): SkiffError {
    return SkiffError.from(cause, `write ${showPath(path)}`);
  }
}
