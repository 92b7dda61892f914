import { mkdir, readdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, SkiffError } from '../../base/errors.ts';
import { newId } from '../../base/id.ts';
import { Inflight } from '../../base/inflight.ts';
import type { Log } from '../../base/log.ts';
import type { Rows } from '../../base/rows.ts';
import { native } from '../../os/native.ts';
import { diskUsage, removeTree } from '../../os/tree.ts';
import type { LayerRow } from '../types.ts';

/** What filling a staging directory found out. Null: nothing to keep, no layer is made. */
export type Filled = Pick<LayerRow, 'implicitDirs' | 'opaqueRoot' | 'recipe'> | null;

/** Less is not worth a commit of the file system's journal. */
const WRITE_AHEAD = 16 << 20;

/** Where a layer is made. */
export interface Staged {
  /** Empty. */
  directory: string;
  /** File for its recipe, if it is to have one. */
  recipe: string;
}

type Fill = (staged: Staged, signal: AbortSignal) => Promise<Filled>;

export interface LayerStoreDeps {
  rows: Rows<LayerRow>;
  log: Log;
}

/**
 * Unpacked layers on disk. A layer is filled in `staging/`, renamed to `layers/<n>`
 * when it is whole, synced, and only then gets its row; what a crash leaves
 * before that has no row and is swept. Directory names are short numbers in base 36,
 * because 127 of them must fit into one page of mount options.
 */
export class LayerStore {
  readonly #root: string;
  readonly #rows: Rows<LayerRow>;
  readonly #log: Log;
  readonly #filling = new Inflight<LayerRow | null>();
  readonly #publishing = new Inflight<void>();
  /** Whole on disk, not yet durable. */
  readonly #pending = new Map<string, LayerRow>();
  /** Being removed: not to be used any more. */
  readonly #leaving = new Map<string, Promise<void>>();
  #writing = false;
  /** Bytes of layers made since the disk was last asked to write. */
  #unwritten = 0;
  #next: number;

  constructor(options: { root: string }, deps: LayerStoreDeps) {
    this.#root = options.root;
    this.#rows = deps.rows;
    this.#log = deps.log;
    this.#next = 1 + Math.max(0, ...deps.rows.values().map((row) => Number.parseInt(row.directory, 36)));
  }

  get staging(): string {
    return join(this.#root, 'staging');
  }
  get layers(): string {
    return join(this.#root, 'layers');
  }

  get recipes(): string {
    return join(this.#root, 'recipes');
  }

  /** A layer that may be used: durable, or about to be. */
  get(id: string): LayerRow | undefined {
    return this.#leaving.has(id) ? undefined : (this.#rows.get(id) ?? this.#pending.get(id));
  }

  values(): LayerRow[] {
    return this.#rows.values();
  }

  directoryOf(row: LayerRow): string {
    return join(this.layers, row.directory);
  }

  /** How the layer's archive is put together again (recipe.ts); undefined where that cannot be. */
  recipeOf(row: LayerRow): string | undefined {
    return row.recipe ? join(this.recipes, row.directory) : undefined;
  }

  /**
   * The layer `id`, filled by `fill` in an empty directory unless it is here or
   * being filled for somebody else. The caller must hold `id` against `free`.
   */
  async ensure(id: string, signal: AbortSignal, fill: Fill): Promise<LayerRow | null> {
    await this.#leaving.get(id);
    const known = this.get(id);
    if (known !== undefined) return known;
    return this.#filling.join(id, signal, async (shared) => this.get(id) ?? this.#fill(id, shared, fill));
  }

  /** Makes layers durable and writes their rows; those that have one are left alone. */
  async publish(ids: string[]): Promise<void> {
    await native().syncfs(this.#root);
    // Not the caller's signal: another pull may wait for the same row.
    const never = new AbortController().signal;
    await Promise.all(ids.map((id) => this.#publishing.join(id, never, () => this.#publish(id))));
  }

  /** Removes the layers for which `unused` is true. */
  async free(unused: (row: LayerRow) => boolean): Promise<void> {
    const rows = [...this.#rows.values(), ...this.#pending.values()];
    const going = rows.filter((row) => !this.#leaving.has(row.id) && unused(row));
    await Promise.all(
      going.map((row) => {
        const gone = this.#free(row).finally(() => this.#leaving.delete(row.id));
        this.#leaving.set(row.id, gone);
        return gone;
      }),
    );
  }

  /** Makes the directories, sweeps what has no row, drops rows that have no directory. */
  async recover(): Promise<void> {
    for (const path of [this.staging, this.layers, this.recipes])
      await mkdir(path, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.staging)) await removeTree(join(this.staging, name));
    const known = new Set(this.#rows.values().map((row) => row.directory));
    const present = new Set(await readdir(this.layers));
    for (const name of present) if (!known.has(name)) await removeTree(join(this.layers, name));
    for (const name of await readdir(this.recipes))
      if (!known.has(name)) await removeTree(join(this.recipes, name));
    for (const row of this.#rows.values()) {
      if (present.has(row.directory)) continue;
      this.#log.error({ layer: row.id }, 'a layer has lost its directory; pull its image again');
      await this.#rows.delete(row.id, { subject: row.id, what: 'layer lost' });
    }
  }

  async #fill(id: string, signal: AbortSignal, fill: Fill): Promise<LayerRow | null> {
    const staged = join(this.staging, newId().slice(0, 16));
    const recipe = `${staged}.recipe`;
    // Overlayfs shows the mode of a layer's root; an archive that names it sets its own.
    await mkdir(staged, { mode: 0o755 });
    try {
      const filled = await fill({ directory: staged, recipe }, signal);
      if (filled !== null) return await this.#keep(id, { directory: staged, recipe }, filled, signal);
      await removeTree(staged);
      return null;
    } catch (cause) {
      await Promise.all([removeTree(staged), removeTree(recipe)]);
      throw cause;
    }
  }

  /** Steps side by side: an image of a hundred layers waits for each of them. */
  async #keep(
    id: string,
    staged: Staged,
    filled: NonNullable<Filled>,
    signal: AbortSignal,
  ): Promise<LayerRow> {
    const [used, extra] = await Promise.all([
      diskUsage(staged.directory),
      filled.recipe ? stat(staged.recipe) : removeTree(staged.recipe),
    ]);
    signal.throwIfAborted();
    const directory = (this.#next++).toString(36);
    if (filled.recipe) await rename(staged.recipe, join(this.recipes, directory));
    await rename(staged.directory, join(this.layers, directory));
    const usedBytes = used.bytes + (extra?.blocks ?? 0) * 512;
    const row = { id, directory, usedBytes, inodes: used.inodes + (filled.recipe ? 1 : 0), ...filled };
    this.#pending.set(id, row);
    this.#writeAhead(usedBytes);
    return row;
  }

  /** Has the disk write what is there while other layers are still made, so that less is left for `publish` to wait for. */
  #writeAhead(usedBytes: number): void {
    this.#unwritten += usedBytes;
    if (this.#writing || this.#unwritten < WRITE_AHEAD || this.#filling.size === 0) return;
    this.#writing = true;
    this.#unwritten = 0;
    native()
      .syncfs(this.#root)
      // What the disk cannot take, `publish` is told.
      .catch(() => undefined)
      .finally(() => {
        this.#writing = false;
      });
  }

  async #publish(id: string): Promise<void> {
    const row = this.#pending.get(id);
    if (row === undefined) {
      if (this.#rows.get(id) !== undefined) return;
      throw new SkiffError('aborted', `publish layer ${id}: it was removed meanwhile; pull again`);
    }
    const { usedBytes, inodes } = row;
    await this.#rows.insert(row, { subject: id, what: 'layer made', detail: { usedBytes, inodes } });
    this.#pending.delete(id);
  }

  async #free(row: LayerRow): Promise<void> {
    // The row goes first: a crash in between leaves a directory that nobody knows, and never the other way round.
    if (this.#pending.has(row.id)) this.#pending.delete(row.id);
    else await this.#rows.delete(row.id, { subject: row.id, what: 'layer removed' });
    const recipe = this.recipeOf(row);
    if (recipe !== undefined) await removeTree(recipe);
    const trash = join(this.staging, `${newId().slice(0, 16)}.gone`);
    try {
      await rename(this.directoryOf(row), trash);
    } catch (cause) {
      if (errnoOf(cause) !== 'ENOENT') throw cause;
      return;
    }
    await removeTree(trash);
  }
}
