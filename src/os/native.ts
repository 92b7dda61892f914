import { createRequire } from 'node:module';
import { errnoOf, SkiffError } from '../base/errors.ts';
import { artefact } from './paths.ts';

/** A path as the kernel takes it: a Buffer where its bytes need not be UTF-8. A NUL inside is a TypeError. */
export type Path = string | Buffer;

/** `stat(2)`; `dev` and `ino` name the file, `blocks` are of 512 bytes. */
export interface FileStat {
  mode: number;
  uid: number;
  gid: number;
  size: number;
  ino: number;
  dev: number;
  nlink: number;
  mtimeSec: number;
  mtimeNsec: number;
  rdevMajor: number;
  rdevMinor: number;
  blocks: number;
}

/** `file` without a slash is looked up in this process's PATH. `argv` includes argv[0]; `env` is all of `KEY=value`. */
export interface Spawn {
  file: string;
  argv: string[];
  env: string[];
  /** null = as the parent. */
  cwd: string | null;
  /** Index = the child's descriptor. A pipe is read by the child at 0 and written by it elsewhere. At most 16. */
  stdio: ('null' | 'pipe' | number)[];
  /** In a session of its own, whose controlling terminal stdin becomes if it is one. */
  setsid: boolean;
  /** File of the network namespace to start in, null = as the parent. */
  netns: string | null;
  /** Killed when the thread that spawned it ends, so that nothing of a dead daemon works beside the next one. */
  dieWithParent: boolean;
}

/** `fds`: our ends of the pipes, nonblocking, null elsewhere. Caller closes `pidfd` and `fds`. */
export interface Spawned {
  pid: number;
  pidfd: number;
  fds: (number | null)[];
}

/** Both null: not a child of this process, so that nobody here can know. */
export interface ExitStatus {
  code: number | null;
  signal: number | null;
}

/**
 * `lowers`: absolute, the top one first. `upper` and `work` null = read-only. `options` are overlayfs's own, such as
 * `metacopy=off`. `legacy` true = mount(2) also where the kernel takes layers one by one (`lowerdir+`, Linux 6.8).
 */
export interface OverlayMount {
  lowers: string[];
  upper: string | null;
  work: string | null;
  target: string;
  options: string[];
  legacy?: boolean;
}

/**
 * Paths of the files to pin on, made here and absent before; null = that namespace is not made. `hostname` '' leaves
 * the host's. A sysctl must belong to a namespace that is made (EPERM), so that none reaches the host. The loopback
 * of a new network namespace is up. On failure nothing is left.
 */
export interface PinNamespaces {
  net: string | null;
  ipc: string | null;
  uts: string | null;
  hostname: string;
  sysctls: [key: string, value: string][];
}

/** Counters of 64 bits, as decimal text. */
export interface NetnsInterface {
  name: string;
  rxBytes: string;
  rxErrors: string;
  txBytes: string;
  txErrors: string;
  up: boolean;
}

/** What one run of a decompressor did, in bytes. */
export interface Decoded {
  consumed: number;
  produced: number;
  ended: boolean;
}

/** Opaque: the state of one decompression. */
export type Decoder = object & { readonly __decoder: never };

/**
 * The functions of skiff.node, in the order of native/addon/binding.c. Those
 * that return a promise work off the event loop; the others are for short calls
 * and for workers. Every failure is an Error with `code` (the errno's name,
 * `ENOENT`), `syscall` and a message such as
 * `mount /x: No such file or directory`. Every descriptor is close-on-exec;
 * numbers of descriptors are the caller's to close. Flags are those of the man
 * pages, below in this file.
 */
export interface Native {
  /** openat2(2), O_CLOEXEC added, repeated where a rename raced (EAGAIN). The descriptor. */
  openat2(dirfd: number, path: Path, flags: number, mode: number, resolve: number): number;
  mkdirat(dirfd: number, path: Path, mode: number): void;
  mknodat(dirfd: number, path: Path, mode: number, major: number, minor: number): void;
  symlinkat(target: Path, dirfd: number, path: Path): void;
  linkat(olddirfd: number, oldpath: Path, newdirfd: number, newpath: Path, flags: number): void;
  unlinkat(dirfd: number, path: Path, flags: number): void;
  renameat2(olddirfd: number, oldpath: Path, newdirfd: number, newpath: Path, flags: number): void;
  fchownat(dirfd: number, path: Path, uid: number, gid: number, flags: number): void;
  /** Never follows a symbolic link (EOPNOTSUPP for one); path '' = the descriptor itself, also an O_PATH one. */
  fchmodat(dirfd: number, path: Path, mode: number): void;
  utimensat(
    dirfd: number,
    path: Path,
    atimeSec: number,
    atimeNsec: number,
    mtimeSec: number,
    mtimeNsec: number,
    flags: number,
  ): void;
  fstatat(dirfd: number, path: Path, flags: number): FileStat;
  /** The xattr functions take one name below `dirfd`, not followed, or '' for the descriptor itself. */
  setxattrat(dirfd: number, path: Path, name: string, value: Path): void;
  getxattrat(dirfd: number, path: Path, name: string): Buffer;
  listxattrat(dirfd: number, path: Path): string[];
  close(fd: number): void;
  setCloexec(fd: number): void;
  /** Opens (creates) `path` and locks it until the descriptor is closed; EWOULDBLOCK where another holds it. */
  flock(path: Path): number;
  pidfdOpen(pid: number): number;
  /** ESRCH once the process is gone. */
  pidfdSendSignal(pidfd: number, signal: number): void;
  /**
   * Starts a program as vfork does: no copy of the heap. The child has default signal dispositions, an empty mask,
   * RLIMIT_NOFILE as before Node raised it (SKIFF_NOFILE_SOFT, else 1024) and no descriptor but `stdio`.
   * Throws what execve, chdir or setns said, and leaves nothing then.
   */
  spawn(spawn: Spawn): Spawned;
  /** mount(2); null where the kernel takes NULL. */
  mount(
    source: Path | null,
    target: Path,
    fstype: string | null,
    flags: number,
    data: string | null,
  ): Promise<void>;
  umount(target: Path, flags: number): Promise<void>;
  /** Mounts overlayfs, 127 lowers and more on every kernel. See `OverlayMount`. */
  overlayMount(mount: OverlayMount): Promise<void>;
  /** Writes all that is dirty in the file system of `path`. */
  syncfs(path: Path): Promise<void>;
  /**
   * SIGKILL for `pid`, its descendants and every session that one of them leads (also when `pid` itself is gone),
   * until none is left: how many were killed. They are stopped first, so that none starts another meanwhile.
   * ETIMEDOUT where one does not die within 5 s.
   */
  killTree(pid: number): Promise<number>;
  /** Makes namespaces and keeps them by bind mounts. See `PinNamespaces`. */
  pinNamespaces(pin: PinNamespaces): Promise<void>;
  /** Interfaces of the network namespace pinned at `path`. */
  netnsInterfaces(path: Path): Promise<NetnsInterface[]>;
  /**
   * A TCP socket of the network namespace pinned at `netns`, connected to a literal address, or still connecting where
   * the listener lets it wait. The descriptor does not block. ECONNREFUSED where nobody listens.
   */
  dialTcp(netns: Path, address: string, port: number): Promise<number>;
  /**
   * Removes `path` and all below it; nothing there is fine. Never follows a symbolic link or enters a mount point:
   * EBUSY where one is left, after all else has gone.
   */
  removeTree(path: Path): Promise<void>;
  /** Space and inodes of the tree at `path`, each inode once, without what is mounted below it. */
  diskUsage(path: Path): Promise<{ bytes: number; inodes: number }>;
  /**
   * Makes a regular file with its content, owner, mode and times in one call: EEXIST where the name is taken. `name`
   * is one name below `dirfd`. After another failure a part of it may be there.
   */
  putFile(
    dirfd: number,
    name: Path,
    data: Buffer,
    mode: number,
    uid: number,
    gid: number,
    atimeSec: number,
    atimeNsec: number,
    mtimeSec: number,
    mtimeNsec: number,
  ): void;
  /** A decompressor for gzip or zstd, to be closed; ENOSYS where this Node carries no such library. */
  openDecoder(zstd: boolean): Decoder;
  /**
   * Decompresses from `input` into `output`, until one of them is used up: how much of each was, and whether that
   * is the end of a gzip member or zstd frame (another may follow). The two must stay referenced and unchanged, and
   * the decoder without another call, until it resolves. EBADMSG: the data are damaged.
   */
  decode(decoder: Decoder, input: Buffer, output: Buffer): Promise<Decoded>;
  /** As `decode`, in this thread. */
  decodeNow(decoder: Decoder, input: Buffer, output: Buffer): Decoded;
  /** Gives a decoder's memory back; not while it runs. */
  closeDecoder(decoder: Decoder): void;
  /**
   * The end of the process behind `pidfd`, reaped if it is a child. Any number may wait: the event loop polls the
   * descriptors. Close `pidfd` only after this settled.
   */
  waitPid(pidfd: number): Promise<ExitStatus>;
}

const SPAWN_STDIO = { null: -1, pipe: -2 } as const;

/** As `Native`, but the fields of a request come one by one. */
type Addon = Omit<Native, 'spawn' | 'overlayMount' | 'pinNamespaces'> & {
  spawn(
    file: string,
    argv: string[],
    env: string[],
    cwd: string | null,
    stdio: number[],
    setsid: boolean,
    netns: string | null,
    dieWithParent: boolean,
  ): Spawned;
  overlayMount(
    lowers: string[],
    upper: string | null,
    work: string | null,
    target: string,
    options: string[],
    legacy: boolean,
  ): Promise<void>;
  pinNamespaces(
    net: string | null,
    ipc: string | null,
    uts: string | null,
    hostname: string,
    sysctls: string[],
  ): Promise<void>;
};

let loaded: Native | undefined;

/** The addon, loaded at first use. */
export function native(): Native {
  loaded ??= bind(load());
  return loaded;
}

function load(): Addon {
  const file = artefact('skiff.node');
  try {
    return createRequire(import.meta.url)(file);
  } catch (cause) {
    throw SkiffError.from(cause, `load ${file} (build it with: make -C native)`);
  }
}

function bind(addon: Addon): Native {
  return {
    ...addon,
    flock: (path) => lock(addon, path),
    spawn: (s) =>
      addon.spawn(s.file, s.argv, s.env, s.cwd, s.stdio.map(stdioNumber), s.setsid, s.netns, s.dieWithParent),
    overlayMount: (m) =>
      addon.overlayMount(m.lowers, m.upper, m.work, m.target, m.options, m.legacy ?? false),
    pinNamespaces: (p) => addon.pinNamespaces(p.net, p.ipc, p.uts, p.hostname, p.sysctls.flat()),
  };
}

function stdioNumber(item: Spawn['stdio'][number]): number {
  return typeof item === 'number' ? item : SPAWN_STDIO[item];
}

/** flock(2) says EWOULDBLOCK; the number is EAGAIN's, and that is the name the addon gives it. */
function lock(addon: Addon, path: Path): number {
  try {
    return addon.flock(path);
  } catch (cause) {
    if (errnoOf(cause) === 'EAGAIN') throw Object.assign(cause as Error, { code: 'EWOULDBLOCK' });
    throw cause;
  }
}

/** Directory descriptor that stands for the working directory. */
export const AT_FDCWD = -100;

/** Flags of the *at functions, <linux/fcntl.h>. */
export const AT = {
  SYMLINK_NOFOLLOW: 0x100,
  REMOVEDIR: 0x200,
  SYMLINK_FOLLOW: 0x400,
  EMPTY_PATH: 0x1000,
} as const;

/** Open flags that node:fs does not name; the same on x86-64 and arm64. */
export const O_PATH = 0o10000000;

/** How openat2(2) walks, <linux/openat2.h>. */
export const RESOLVE = {
  NO_XDEV: 0x01,
  NO_MAGICLINKS: 0x02,
  NO_SYMLINKS: 0x04,
  BENEATH: 0x08,
  IN_ROOT: 0x10,
} as const;

/** renameat2(2). */
export const RENAME = { NOREPLACE: 1, EXCHANGE: 2 } as const;

/** Flags of mount(2), <linux/mount.h>. */
export const MS = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  REMOUNT: 32,
  NOSYMFOLLOW: 256,
  BIND: 4096,
  MOVE: 8192,
  REC: 16384,
  UNBINDABLE: 1 << 17,
  PRIVATE: 1 << 18,
  SLAVE: 1 << 19,
  SHARED: 1 << 20,
  RELATIME: 1 << 21,
} as const;

/** Flags of umount2(2). */
export const MNT = { FORCE: 1, DETACH: 2, EXPIRE: 4 } as const;
export const UMOUNT_NOFOLLOW = 8;
