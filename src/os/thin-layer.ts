import { constants, readdirSync } from 'node:fs';
import { errnoOf } from '../base/errors.ts';
import { baseOf, bytesOf, parentOf } from './layer-entry.ts';
import { OPAQUE_XATTR } from './layer-tree.ts';
import { AT, AT_FDCWD, type FileStat, type Native, native, O_PATH, RESOLVE } from './native.ts';

export interface ThinLayerOptions {
  /** The chain, top first; `implicitDirs` as the layer's row has them. */
  layers: { directory: string; implicitDirs: string[] }[];
  /** Empty directory that becomes the thin layer. */
  directory: string;
}

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const WALK = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS;
const EMPTY = Buffer.alloc(0);

/**
 * A layer may hold `tmp/x` without an entry for `tmp`. Unpacked by itself it has a
 * `tmp` of mode 0755, and overlayfs would show that instead of the 1777 of the layer
 * below. So a chain gets one more directory on top, which gives each such directory
 * the mode, owner, xattrs and times of the nearest layer below that names it.
 *
 * Returns false, with nothing written, where no directory needs it.
 */
export function makeThinLayer(options: ThinLayerOptions): boolean {
  const chain = new Chain(options.layers, native());
  try {
    const wanted = new Set<string>();
    for (const path of chain.implicit()) if (chain.effective(path)?.borrowed) addWithParents(wanted, path);
    if (wanted.size === 0) return false;
    write(chain, [...wanted].sort(byDepth), options.directory);
    return true;
  } finally {
    chain.close();
  }
}

type Seen = 'directory' | 'absent' | 'hidden';

/** The layers of a chain as overlayfs joins them, asked path by path. */
class Chain {
  readonly #native: Native;
  readonly #layers: { fd: number; implicit: Set<string> }[] = [];
  /** Names in directories of a layer, by its descriptor and their path: a chain asks every layer for every path. */
  readonly #names = new Map<string, Set<string>>();

  constructor(layers: ThinLayerOptions['layers'], library: Native) {
    this.#native = library;
    for (const { directory, implicitDirs } of layers) {
      const fd = library.openat2(AT_FDCWD, directory, O_PATH | constants.O_DIRECTORY, 0, 0);
      this.#layers.push({ fd, implicit: new Set(implicitDirs) });
    }
  }

  close(): void {
    for (const { fd } of this.#layers) this.#native.close(fd);
  }

  implicit(): Set<string> {
    return new Set(this.#layers.flatMap(({ implicit }) => [...implicit]));
  }

  /**
   * The layer whose attributes a directory of the joined tree should have:
   * the topmost that names it, else the topmost that has it. `borrowed` where
   * overlayfs would show another one's. Undefined where the tree has no such directory.
   */
  effective(path: string): { fd: number; borrowed: boolean } | undefined {
    let top: number | undefined;
    for (const { fd, implicit } of this.#layers) {
      const { seen, closed } = this.#look(fd, path);
      if (seen === 'hidden') break;
      if (seen === 'directory') {
        if (!implicit.has(path)) return { fd, borrowed: top !== undefined };
        top ??= fd;
      }
      if (closed) break;
    }
    return top === undefined ? undefined : { fd: top, borrowed: false };
  }

  /** What one layer says of `path`; `closed` where a parent is opaque, so that layers below say nothing. */
  #look(root: number, path: string): { seen: Seen; closed: boolean } {
    let closed = false;
    const parts = path === '' ? [] : path.split('/');
    for (let count = 1; count <= parts.length; count++) {
      const parent = parts.slice(0, count - 1).join('/');
      if (!this.#namesIn(root, parent).has(parts[count - 1] ?? '')) return { seen: 'absent', closed };
      const stat = this.#stat(root, parts.slice(0, count).join('/'));
      if (stat === undefined) return { seen: 'absent', closed };
      if ((stat.mode & S_IFMT) !== S_IFDIR) return { seen: 'hidden', closed: true };
      if (count < parts.length) closed ||= this.#isOpaque(root, parts.slice(0, count).join('/'));
    }
    return { seen: 'directory', closed };
  }

  #namesIn(root: number, path: string): Set<string> {
    const key = `${root}/${path}`;
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const names = this.#inside(root, path, (fd) =>
      readdirSync(`/proc/self/fd/${fd}/`, { encoding: 'latin1' }),
    );
    const set = new Set(names);
    this.#names.set(key, set);
    return set;
  }

  #stat(root: number, path: string): FileStat | undefined {
    try {
      const parent = parentOf(path);
      if (parent === '') return this.#native.fstatat(root, bytesOf(path), AT.SYMLINK_NOFOLLOW);
      return this.#inside(root, parent, (fd) =>
        this.#native.fstatat(fd, bytesOf(baseOf(path)), AT.SYMLINK_NOFOLLOW),
      );
    } catch (cause) {
      if (errnoOf(cause) === 'ENOENT') return undefined;
      throw cause;
    }
  }

  #isOpaque(root: number, path: string): boolean {
    return this.#inside(root, path, (fd) => this.#native.listxattrat(fd, '').includes(OPAQUE_XATTR));
  }

  #inside<T>(root: number, path: string, work: (fd: number) => T): T {
    const fd = this.#native.openat2(
      root,
      path === '' ? '.' : bytesOf(path),
      O_PATH | constants.O_DIRECTORY,
      0,
      WALK,
    );
    try {
      return work(fd);
    } finally {
      this.#native.close(fd);
    }
  }
}

function write(chain: Chain, paths: string[], directory: string): void {
  const library = native();
  const root = library.openat2(AT_FDCWD, directory, O_PATH | constants.O_DIRECTORY, 0, 0);
  const open = (from: number, path: string) =>
    library.openat2(from, path === '' ? '.' : bytesOf(path), O_PATH | constants.O_DIRECTORY, 0, WALK);
  try {
    for (const path of paths) if (path !== '') library.mkdirat(root, bytesOf(path), 0o700);
    // Deepest first: what is made in a directory changes its times.
    for (const path of paths.reverse()) {
      const source = chain.effective(path);
      if (source === undefined) continue;
      const from = open(source.fd, path);
      const to = open(root, path);
      copyAttributes(library, from, to);
      library.close(from);
      library.close(to);
    }
  } finally {
    library.close(root);
  }
}

function copyAttributes(library: Native, from: number, to: number): void {
  const stat = library.fstatat(from, EMPTY, AT.EMPTY_PATH);
  library.fchownat(to, EMPTY, stat.uid, stat.gid, AT.EMPTY_PATH);
  library.fchmodat(to, EMPTY, stat.mode & 0o7777);
  for (const name of library.listxattrat(from, ''))
    if (!name.startsWith('trusted.overlay.'))
      library.setxattrat(to, '', name, library.getxattrat(from, '', name));
  const { mtimeSec, mtimeNsec } = stat;
  library.utimensat(to, EMPTY, mtimeSec, mtimeNsec, mtimeSec, mtimeNsec, AT.EMPTY_PATH);
}

function addWithParents(paths: Set<string>, path: string): void {
  for (let at = path; !paths.has(at); at = parentOf(at)) paths.add(at);
}

function byDepth(a: string, b: string): number {
  return a.split('/').length - b.split('/').length || (a < b ? -1 : 1);
}
