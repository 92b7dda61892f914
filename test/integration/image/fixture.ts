import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '../../../src/base/log.ts';
import { StateStore } from '../../../src/base/state-store.ts';
import { type ImageSettings, Images } from '../../../src/image/images.ts';
import type { AuthConfig, ImageRow, LayerRow, PullProgress } from '../../../src/image/types.ts';
import { AT_FDCWD, native, O_PATH } from '../../../src/os/native.ts';

/** A node's image store in a directory of its own, on a real state database. */
export class ImageNode {
  readonly root: string;
  readonly images: Images;
  /** What containers are said to use. */
  readonly inUse = new Set<string>();
  readonly #store: StateStore;

  private constructor(root: string, store: StateStore, settings: Partial<ImageSettings>) {
    this.root = root;
    this.#store = store;
    this.images = new Images(
      {
        root,
        settings: () => ({
          platform: '',
          maxConcurrentDownloads: 3,
          maxConcurrentDownloadsPerRegistry: 12,
          pinned: [],
          pullProgressTimeout: 60_000,
          configPath: '',
          globalAuthFile: '',
          signaturePolicy: '',
          verifier: { binDir: '', maxVerifiers: 10, perVerifierTimeout: 10_000 },
          registries: {},
          ...settings,
        }),
        retry: { attempts: 3, firstDelayMs: 20 },
      },
      {
        rows: store.rows<ImageRow>('images'),
        layers: store.rows<LayerRow>('layers'),
        layersInUse: () => this.inUse,
        log: silentLog(),
      },
    );
  }

  /** `root`: an earlier node's, to see what a new daemon finds. */
  static async start(settings: Partial<ImageSettings> = {}, root?: string): Promise<ImageNode> {
    const directory = root ?? (await mkdtemp(join(tmpdir(), 'sk-images-')));
    const store = await StateStore.open(join(directory, 'skiff.db'));
    const node = new ImageNode(directory, store, settings);
    await node.images.recover();
    return node;
  }

  pull(
    reference: string,
    options: { signal?: AbortSignal; progress?: (event: PullProgress) => void; auth?: AuthConfig } = {},
  ): Promise<string> {
    return this.images.pull(reference, options.auth ?? null, {
      signal: options.signal ?? new AbortController().signal,
      progress: options.progress ?? (() => undefined),
    });
  }

  /** Entries of layers, recipes, staging and blobs, and rows of images: what a failed pull must not add to. */
  async counts(): Promise<typeof NOTHING> {
    const entries = async (path: string) => (await readdir(join(this.root, path))).length;
    return {
      layers: await entries('layers'),
      recipes: await entries('recipes'),
      staging: await entries('staging'),
      blobs: await entries('images/blobs'),
      images: this.images.list().length,
    };
  }

  /** Ends the node's threads; the directory stays. */
  async close(): Promise<void> {
    await this.images.close();
    await this.#store.close();
  }

  async stop(): Promise<void> {
    await this.close();
    await rm(this.root, { recursive: true, force: true });
  }
}

export const NOTHING = { layers: 0, recipes: 0, staging: 0, blobs: 0, images: 0 };

/** Mounts the image's layers read-only as a container would see them, calls `work` with the directory, unmounts. */
export async function withMounted<T>(lowers: string[], work: (merged: string) => T | Promise<T>): Promise<T> {
  const merged = await mkdtemp(join(tmpdir(), 'sk-merged-'));
  // One lower directory alone makes no overlay.
  const empty = join(merged, 'empty');
  const target = join(merged, 'root');
  mkdirSync(empty);
  mkdirSync(target);
  execFileSync('mount', [
    '-t',
    'overlay',
    'overlay',
    '-o',
    `ro,lowerdir=${[...lowers, empty].join(':')}`,
    target,
  ]);
  try {
    return await work(target);
  } finally {
    execFileSync('umount', [target]);
    await rm(merged, { recursive: true });
  }
}

/**
 * One line per entry below `root`: path, type and mode, owner, device, size,
 * digest or link text, mtime in ns, xattrs, and the first path of the same inode.
 */
export function listTree(root: string): string[] {
  const lines: string[] = [];
  const firstNames = new Map<bigint, string>();
  const visit = (path: Buffer, name: string): void => {
    const stat = lstatSync(path, { bigint: true });
    const mode = Number(stat.mode);
    const isDirectory = (mode & 0o170000) === 0o040000;
    const first = isDirectory ? name : (firstNames.get(stat.ino) ?? name);
    firstNames.set(stat.ino, first);
    lines.push(
      JSON.stringify([
        name,
        mode.toString(8),
        `${stat.uid}:${stat.gid}`,
        isDirectory ? '' : `${stat.size} ${stat.rdev}`,
        contentOf(path, mode),
        String(stat.mtimeNs),
        xattrsOf(path),
        first,
      ]),
    );
    if (!isDirectory) return;
    const names = readdirSync(path, { encoding: 'buffer' }).sort(Buffer.compare);
    for (const child of names)
      visit(Buffer.concat([path, Buffer.from('/'), child]), `${name}/${child.toString('latin1')}`);
  };
  visit(Buffer.from(root), '');
  return lines;
}

function contentOf(path: Buffer, mode: number): string {
  const type = mode & 0o170000;
  if (type === 0o120000) return readlinkSync(path, { encoding: 'buffer' }).toString('latin1');
  if (type === 0o100000) return createHash('sha256').update(readFileSync(path)).digest('hex');
  return '';
}

function xattrsOf(path: Buffer): Record<string, string> {
  const parent = path.lastIndexOf('/');
  const fd = native().openat2(AT_FDCWD, path.subarray(0, parent), O_PATH, 0, 0);
  try {
    const base = path.subarray(parent + 1);
    const names = native().listxattrat(fd, base).sort();
    return Object.fromEntries(
      names.map((name) => [name, native().getxattrat(fd, base, name).toString('hex')]),
    );
  } finally {
    native().close(fd);
  }
}
