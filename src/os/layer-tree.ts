import { constants, readdirSync } from 'node:fs';
import { errnoOf, SkiffError } from '../base/errors.ts';
import { baseOf, bytesOf, parentOf, showPath } from './layer-entry.ts';
import { AT, AT_FDCWD, type Native, O_PATH, type Path, RESOLVE } from './native.ts';

/** Whiteouts and opaque directories as overlayfs reads them (Documentation/filesystems/overlayfs.rst). */
export const OPAQUE_XATTR = 'trusted.overlay.opaque';
const S_IFCHR = 0o020000;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

/** As many as path_resolution(7) allows. */
const MAX_LINKS = 40;
const OPEN_DIRECTORIES = 64;
const WALK = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS | RESOLVE.NO_XDEV;

/**
 * The directories, symbolic links and whiteouts of a layer that is being
 * written. The layer begins empty and has one writer, so this model knows every
 * name that a path may lead through. It resolves paths itself, links as seen
 * from the layer's root, to a canonical one; the kernel is then asked for that one with
 * RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, so a mistake here fails and cannot
 * leave the directory.
 */
export class LayerTree {
  readonly rootFd: number;
  readonly #native: Native;
  /** Canonical path -> whether the archive named it. */
  readonly #directories = new Map<string, boolean>([['', false]]);
  readonly #links = new Map<string, string>();
  readonly #whiteouts = new Set<string>();
  /** Least recently used first. */
  readonly #open = new Map<string, number>();

  constructor(root: string, native: Native) {
    this.#native = native;
    this.rootFd = native.openat2(AT_FDCWD, root, O_PATH | constants.O_DIRECTORY, 0, 0);
  }

  close(): void {
    for (const fd of this.#open.values()) this.#native.close(fd);
    this.#open.clear();
    this.#native.close(this.rootFd);
  }

  /** Directories that the archive used without naming them; '' is the root. */
  implicit(): string[] {
    return [...this.#directories].filter(([, named]) => !named).map(([path]) => path);
  }

  isDirectory(path: string): boolean {
    return this.#directories.has(path);
  }

  isWhiteout(path: string): boolean {
    return this.#whiteouts.has(path);
  }

  /** `path` with the links on its way resolved but not its last part; missing directories are made. */
  locate(path: string): string {
    const parent = this.#resolve(parentOf(path), true);
    return join(parent, baseOf(path));
  }

  /** As `locate`, for what must be there already; undefined where its directory is not. */
  find(path: string): string | undefined {
    const parent = this.#resolve(parentOf(path), false);
    return parent === undefined ? undefined : join(parent, baseOf(path));
  }

  /** `path` as a directory, links resolved; made where it is missing. */
  locateDirectory(path: string): string {
    return this.#resolve(path, true);
  }

  /** Descriptor (O_PATH) of a canonical directory; stays this object's own. */
  fd(directory: string): number {
    if (directory === '') return this.rootFd;
    const known = this.#open.get(directory);
    if (known !== undefined) {
      this.#open.delete(directory);
      this.#open.set(directory, known);
      return known;
    }
    const fd = this.#openDirectory(this.rootFd, bytesOf(directory));
    this.#open.set(directory, fd);
    const [oldest] = this.#open.keys();
    if (this.#open.size > OPEN_DIRECTORIES && oldest !== undefined) this.#forgetFd(oldest);
    return fd;
  }

  noteDirectory(path: string, named: boolean): void {
    this.#directories.set(path, named || this.#directories.get(path) === true);
  }

  noteLink(path: string, target: string): void {
    this.#links.set(path, target);
  }

  /** Makes the overlay whiteout `path`; its name must be free. */
  makeWhiteout(path: string): void {
    this.#native.mknodat(this.fd(parentOf(path)), bytesOf(baseOf(path)), S_IFCHR, 0, 0);
    this.#whiteouts.add(path);
  }

  /** Makes `directory` hide what lower layers have in it. */
  makeOpaque(directory: string): void {
    this.#native.setxattrat(this.fd(directory), '', OPAQUE_XATTR, 'y');
  }

  /** Removes whatever has the canonical name `path`, with all below it. */
  remove(path: string): void {
    if (this.#directories.has(path)) this.#forgetBelow(path);
    this.#directories.delete(path);
    this.#links.delete(path);
    this.#whiteouts.delete(path);
    this.#removeAt(this.fd(parentOf(path)), bytesOf(baseOf(path)));
  }

  #resolve(path: string, make: true): string;
  #resolve(path: string, make: boolean): string | undefined;
  #resolve(path: string, make: boolean): string | undefined {
    if (this.#directories.has(path)) return path;
    const left = path.split('/').reverse();
    let at = '';
    let followed = 0;
    for (let part = left.pop(); part !== undefined; part = left.pop()) {
      if (part === '' || part === '.') continue;
      if (part === '..') {
        at = parentOf(at);
        continue;
      }
      const next = join(at, part);
      const link = this.#links.get(next);
      if (link !== undefined) {
        if (++followed > MAX_LINKS) throw refused(path, 'too many symbolic links');
        if (link.startsWith('/')) at = '';
        left.push(...link.split('/').reverse());
      } else if (this.#directories.has(next)) at = next;
      else if (make) at = this.#makeImplicit(next);
      else return undefined;
    }
    return at;
  }

  #makeImplicit(path: string): string {
    const parent = this.fd(parentOf(path));
    const base = bytesOf(baseOf(path));
    const hidden = this.#whiteouts.has(path);
    if (hidden) this.remove(path);
    try {
      this.#native.mkdirat(parent, base, 0o755);
    } catch (cause) {
      if (errnoOf(cause) === 'EEXIST') throw refused(path, 'it is used as a directory and is none');
      throw cause;
    }
    this.#native.fchmodat(parent, base, 0o755);
    // After a whiteout this is a new directory: it has nothing from the layers below, its attributes neither.
    this.#directories.set(path, hidden);
    if (hidden) this.makeOpaque(path);
    return path;
  }

  #forgetBelow(path: string): void {
    const prefix = `${path}/`;
    for (const names of [this.#directories, this.#links, this.#whiteouts])
      for (const name of names.keys()) if (name.startsWith(prefix)) names.delete(name);
    for (const name of [...this.#open.keys()])
      if (name === path || name.startsWith(prefix)) this.#forgetFd(name);
  }

  #forgetFd(directory: string): void {
    const fd = this.#open.get(directory);
    this.#open.delete(directory);
    if (fd !== undefined) this.#native.close(fd);
  }

  #removeAt(parent: number, base: Buffer): void {
    const stat = this.#native.fstatat(parent, base, AT.SYMLINK_NOFOLLOW);
    if ((stat.mode & S_IFMT) !== S_IFDIR) {
      this.#native.unlinkat(parent, base, 0);
      return;
    }
    const fd = this.#openDirectory(parent, base);
    try {
      for (const name of readdirSync(`/proc/self/fd/${fd}/`, { encoding: 'buffer' }))
        this.#removeAt(fd, name);
    } finally {
      this.#native.close(fd);
    }
    this.#native.unlinkat(parent, base, AT.REMOVEDIR);
  }

  #openDirectory(parent: number, path: Path): number {
    return this.#native.openat2(parent, path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW, 0, WALK);
  }
}

function join(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}

function refused(path: string, why: string): SkiffError {
  return new SkiffError('failed_precondition', `write ${showPath(path)}: ${why}`);
}
