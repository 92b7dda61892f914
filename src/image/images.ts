import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { nowNs } from '../base/clock.ts';
import { SkiffError } from '../base/errors.ts';
import { newId } from '../base/id.ts';
import { Inflight } from '../base/inflight.ts';
import type { Log } from '../base/log.ts';
import type { Rows } from '../base/rows.ts';
import { Slots } from '../base/slots.ts';
import { exportImages } from './archive/export.ts';
import { archivedImages } from './archive/import.ts';
import type { ImageSource } from './archive/source.ts';
import { Blobs } from './blobs.ts';
import { type CheckEvent, checkImages } from './check.ts';
import { type ImagesUsage, imagesUsage } from './du.ts';
import { Holds } from './holds.ts';
import { ImageRows, rowOf } from './image-rows.ts';
import { LayerStore } from './layer/layer-store.ts';
import { LayerPool, type PoolOptions } from './layer/pool.ts';
import type { Packing } from './layer/protocol.ts';
import { Pins } from './pins.ts';
import { parsePlatform } from './platform.ts';
import { ImagePolicy, type PolicySettings } from './policy/policy.ts';
import { fetchLayers, type Resolved, resolveImage } from './pull.ts';
import { formatReference, parseReference, type Reference } from './reference.ts';
import { connectRegistry, type RegistrySettings } from './registry/connect.ts';
import { RegistrySlots } from './registry/registry-slots.ts';
import { DEFAULT_RETRY, type RetryOptions } from './registry/retry.ts';
import { repairImages } from './repair.ts';
import { chainId, makeThin } from './thin.ts';
import type { AuthConfig, FilesystemUsage, ImageRow, LayerRow, PullProgress } from './types.ts';

/** What a reload may change; read at the start of each pull. */
export interface ImageSettings extends RegistrySettings, PolicySettings {
  /** `linux/amd64`, '' = this host's. */
  platform: string;
  /** Names of images that a kubelet is not to remove; `*` stands for anything. */
  pinned: readonly string[];
  /** Layers that one pull fetches side by side. */
  maxConcurrentDownloads: number;
  /** Layers that all pulls from one registry fetch side by side. */
  maxConcurrentDownloadsPerRegistry: number;
  /** A layer that brings no byte for so long fails its pull, in milliseconds; 0 = never. */
  pullProgressTimeout: number;
}

export interface ImagesOptions {
  /** The state directory: holds `images/`, `layers/` and `staging/`. */
  root: string;
  settings: () => ImageSettings;
  retry?: RetryOptions;
  pool?: PoolOptions;
}

export interface ImagesDeps {
  rows: Rows<ImageRow>;
  layers: Rows<LayerRow>;
  /** Layer directories (absolute, as `lowers` gives them) that containers use. */
  layersInUse: () => Set<string>;
  log: Log;
}

export interface PullOptions {
  signal: AbortSignal;
  progress: (event: PullProgress) => void;
}

interface BringOptions extends PullOptions {
  slots: Slots;
  verify: (resolved: Resolved) => Promise<void>;
  /** Its manifest is one that a registry could have, so that it makes a name by digest. */
  hasDigest: boolean;
}

/** One file system block: what a small document takes on disk. */
const BLOCK = 4096;

/** The images of this node: pulled, looked up, removed, and turned into overlay directories. */
export class Images {
  readonly #options: ImagesOptions;
  readonly #rows: ImageRows;
  readonly #store: LayerStore;
  readonly #blobs: Blobs;
  readonly #pool: LayerPool;
  readonly #layersInUse: () => Set<string>;
  readonly #log: Log;
  readonly #pulls = new Inflight<string>();
  readonly #listeners = new Map<string, Set<(event: PullProgress) => void>>();
  /** Layers and documents that a running pull counts on. */
  readonly #holds = new Holds();
  readonly #slots = new RegistrySlots();
  readonly #policy: ImagePolicy;
  readonly #pins: Pins;

  constructor(options: ImagesOptions, deps: ImagesDeps) {
    this.#options = options;
    this.#rows = new ImageRows({ rows: deps.rows, log: deps.log });
    this.#layersInUse = deps.layersInUse;
    this.#log = deps.log;
    this.#pins = new Pins({ patterns: () => options.settings().pinned });
    this.#policy = new ImagePolicy({ log: deps.log });
    this.#store = new LayerStore({ root: options.root }, { rows: deps.layers, log: deps.log });
    this.#blobs = new Blobs({ root: options.root });
    this.#pool = new LayerPool(options.pool);
  }

  /** All images, oldest first, also those without a tag. */
  list(): ImageRow[] {
    return this.#rows.values().map((row) => this.#pins.applied(row));
  }

  /** By id (with or without `sha256:`, or its unique beginning), tag or digest in any form of reference. */
  find(reference: string): ImageRow | undefined {
    const row = this.#rows.find(reference);
    return row === undefined ? undefined : this.#pins.applied(row);
  }

  /**
   * Pulls an image and answers its id. Always asks the registry, because a tag
   * may have moved and credentials may have ended. Calls for the same reference
   * with the same credentials are one pull.
   */
  async pull(reference: string, auth: AuthConfig | null, options: PullOptions): Promise<string> {
    const { signal } = options;
    signal.throwIfAborted();
    const parsed = parseReference(reference);
    const key = JSON.stringify([formatReference(parsed), auth]);
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners.add(options.progress));
    try {
      return await this.#pulls.join(key, signal, (shared) =>
        this.#pull(parsed, auth, {
          signal: shared,
          progress: (event) => {
            for (const tell of listeners) tell(event);
          },
        }),
      );
    } catch (cause) {
      throw signal.aborted
        ? SkiffError.from(signal.reason, `pull ${formatReference(parsed)}`, 'canceled')
        : cause;
    } finally {
      listeners.delete(options.progress);
      if (listeners.size === 0) this.#listeners.delete(key);
    }
  }

  /** Removes the image with all its names; nothing there is fine. What a container uses of it stays until that is gone. */
  async remove(reference: string): Promise<void> {
    const row = this.find(reference);
    if (row === undefined) return;
    await this.#rows.remove(row);
    await this.#sweep(row.blobs);
  }

  /** Absolute directories of the image's root file system for overlayfs, top first; each once. */
  lowers(image: ImageRow): string[] {
    const rows = this.#chain(image.diffIds).map((id) => this.#layer(id, image));
    // What is below an opaque root is not part of the image.
    const end = rows.findIndex((row) => row.opaqueRoot);
    const visible = end < 0 ? rows : rows.slice(0, end + 1);
    const thin = image.thin === null ? [] : [this.#layer(image.thin, image)];
    return [...thin, ...visible].map((row) => this.#store.directoryOf(row));
  }

  /** The image's stored documents, for verbose status: configuration and manifest as they came. */
  async documents(image: ImageRow): Promise<{ digest: string; json: unknown }[]> {
    const load = async (digest: string) => {
      const bytes = await this.#blobs.get(digest);
      return { digest, json: JSON.parse(bytes.toString('utf8')) as unknown };
    };
    return Promise.all(image.blobs.map(load));
  }

  /** Bytes and inodes of all layers and documents, from their rows: nothing is walked. */
  async usage(): Promise<FilesystemUsage> {
    const { total } = this.breakdown();
    const { root } = this.#options;
    return { timestamp: nowNs(), mountpoint: root, usedBytes: total.bytes, inodesUsed: total.inodes };
  }

  /** What `usage` is made of. */
  breakdown(): ImagesUsage {
    const directoryOf = (row: LayerRow) => this.#store.directoryOf(row);
    return imagesUsage(this.#rows.values(), this.#store.values(), { directoryOf, block: BLOCK });
  }

  /** Compares everything on disk with its digests; with `repair`, fetches again what is damaged and no container uses. */
  async *check(options: { repair: boolean }, signal: AbortSignal): AsyncGenerator<CheckEvent> {
    const damaged: CheckEvent[] = [];
    const parts = { rows: this.#rows, store: this.#store, blobs: this.#blobs, pool: this.#pool };
    for await (const event of checkImages(parts, signal)) {
      if (event.problem !== '') damaged.push(event);
      yield event;
    }
    if (!options.repair) return;
    const inUse = this.#layersInUse();
    yield* repairImages(damaged, {
      rows: this.#rows.values(),
      isUsed: (id) => {
        const layer = this.#store.get(id);
        return layer !== undefined && inUse.has(this.#store.directoryOf(layer));
      },
      hold: (ids) => {
        const hold = this.#holds.take();
        hold.add(...ids);
        return () => hold.release();
      },
      remove: (id) => this.remove(id),
      pull: (name) => this.pull(name, null, { signal, progress: () => undefined }),
    });
  }

  /** Writes images to a new file or directory on this host. */
  async export(
    options: { images: string[]; path: string; form: 'directory' | 'archive'; packing: Packing },
    signal: AbortSignal,
  ): Promise<void> {
    const images = options.images.map((reference) => {
      const row = this.find(reference);
      if (row !== undefined) return row;
      throw new SkiffError('not_found', `export ${reference}: there is no such image`);
    });
    const hold = this.#holds.take();
    hold.add(...images.flatMap((image) => [...image.diffIds, ...image.blobs]));
    const concurrency = this.#options.settings().maxConcurrentDownloads;
    const deps = { store: this.#store, blobs: this.#blobs, pool: this.#pool };
    try {
      await exportImages({ ...options, images, concurrency }, deps, signal);
    } finally {
      hold.release();
      await this.#sweep(images.flatMap((image) => image.blobs));
    }
  }

  /** Brings the images of an OCI layout or a `docker save` archive on this host; their ids. */
  async import(options: { path: string; name: string }, deps: PullOptions): Promise<string[]> {
    const scratch = join(this.#store.staging, `${newId().slice(0, 16)}.archive`);
    const platform = parsePlatform(this.#options.settings().platform);
    try {
      const images = await archivedImages({ ...options, platform }, scratch);
      const slots = new Slots(this.#options.settings().maxConcurrentDownloads);
      const ids: string[] = [];
      for (const { references, source, hasDigest } of images)
        ids.push(
          await this.#bring(references, source, { ...deps, slots, hasDigest, verify: async () => {} }),
        );
      return ids;
    } finally {
      await rm(scratch, { force: true });
    }
  }

  /** Frees the layers that no image, container or running pull holds. */
  async collect(): Promise<void> {
    const wanted = new Set(this.#rows.values().flatMap((row) => [...row.diffIds, row.thin ?? '']));
    const inUse = this.#layersInUse();
    await this.#store.free(
      (row) => !wanted.has(row.id) && !this.#holds.has(row.id) && !inUse.has(this.#store.directoryOf(row)),
    );
  }

  /** After a start: sweeps what an earlier daemon left half done. Must have ended before the first pull. */
  async recover(): Promise<void> {
    await this.#store.recover();
    await this.#rows.recover((id) => this.#store.get(id) !== undefined);
    await this.#blobs.recover(this.#knownBlobs());
    await this.collect();
  }

  /** Ends the worker threads; pulls under way fail. */
  async close(): Promise<void> {
    await this.#pool.close();
  }

  async #pull(reference: Reference, auth: AuthConfig | null, options: PullOptions): Promise<string> {
    const settings = this.#options.settings();
    await this.#policy.admit(reference, settings);
    const retry = this.#options.retry ?? DEFAULT_RETRY;
    const registry = { reference, auth, settings, retry, stallTimeoutMs: settings.pullProgressTimeout };
    const { client, close } = await connectRegistry(registry, { log: this.#log });
    const slots = this.#slots.of(reference.domain, settings.maxConcurrentDownloadsPerRegistry);
    const verify = (resolved: Resolved) =>
      this.#policy.verify(
        { name: formatReference(reference), descriptor: resolved.descriptor },
        settings,
        options.signal,
      );
    try {
      return await this.#bring([reference], client, { ...options, slots, verify, hasDigest: true });
    } finally {
      await close();
    }
  }

  /** Brings an image from its source to the disk and lists it under `names`, the first of which it is asked for by. */
  async #bring(names: Reference[], source: ImageSource, options: BringOptions): Promise<string> {
    const [reference] = names;
    if (reference === undefined) throw new SkiffError('invalid_argument', 'bring image: it has no name');
    const { signal, progress } = options;
    const name = formatReference(reference);
    const { platform, maxConcurrentDownloads, pullProgressTimeout } = this.#options.settings();
    const hold = this.#holds.take();
    const documents: string[] = [];
    const tell = (phase: PullProgress['phase']) =>
      progress({ image: name, layer: '', phase, current: 0, total: 0 });
    try {
      tell('resolving');
      const resolved = await resolveImage({ reference, platform: parsePlatform(platform) }, source, signal);
      await options.verify(resolved);
      const { diff_ids: diffIds } = resolved.config.rootfs;
      documents.push(...resolved.documents.map((document) => document.digest));
      hold.add(...diffIds, chainId(diffIds), ...documents);
      const fetchOptions = {
        name,
        concurrency: maxConcurrentDownloads,
        slots: options.slots,
        retry: this.#options.retry ?? DEFAULT_RETRY,
        stallTimeoutMs: pullProgressTimeout,
        progress,
      };
      const deps = { source, store: this.#store, pool: this.#pool, log: this.#log };
      await fetchLayers(resolved, fetchOptions, deps, signal);
      const row = await this.#commit(resolved, signal);
      const digest = options.hasDigest ? resolved.descriptor.digest : '';
      for (const one of names) await this.#rows.pulled(one, row, digest);
      tell('done');
      return row.id;
    } catch (cause) {
      tell('failed');
      throw cause;
    } finally {
      hold.release();
      await this.#sweep(documents);
    }
  }

  /** After a pull that failed, what came of it is nobody's. A sweep that fails is made up for by the next. */
  async #sweep(documents: string[]): Promise<void> {
    try {
      await this.collect();
      const kept = this.#knownBlobs();
      for (const digest of documents) if (!kept.has(digest)) await this.#blobs.remove(digest);
    } catch (cause) {
      this.#log.error({ err: cause }, 'layers that nothing holds could not be removed');
    }
  }

  /** Makes all of the image durable; its row, for the caller to write. */
  async #commit(resolved: Resolved, signal: AbortSignal): Promise<ImageRow> {
    const diffIds = resolved.config.rootfs.diff_ids;
    const chain = this.#chain(diffIds);
    const layers = chain.map((id) => this.#pulledLayer(id));
    const thin = await makeThin({ diffIds, layers }, { store: this.#store, pool: this.#pool }, signal);
    for (const { digest, bytes } of resolved.documents) await this.#blobs.put(digest, bytes);
    signal.throwIfAborted();
    await this.#store.publish(thin === null ? chain : [...chain, thin]);
    // The deadline may have passed while the disk was synced: then the caller must not be told of a success.
    signal.throwIfAborted();
    return rowOf(resolved, thin);
  }

  /** Diff ids from the top down, each once: overlayfs takes no directory twice, and only the topmost one is seen. */
  #chain(diffIds: string[]): string[] {
    return [...new Set([...diffIds].reverse())];
  }

  #layer(id: string, image: ImageRow): LayerRow {
    const row = this.#store.get(id);
    if (row !== undefined) return row;
    throw new SkiffError(
      'failed_precondition',
      `open image ${image.id}: layer ${id} is gone; pull the image again`,
    );
  }

  #pulledLayer(id: string): LayerRow {
    const row = this.#store.get(id);
    if (row === undefined)
      throw new SkiffError('aborted', `pull: layer ${id} was removed meanwhile; pull again`);
    return row;
  }

  #knownBlobs(): Set<string> {
    return new Set([...this.#rows.values().flatMap((row) => row.blobs), ...this.#holds.keys()]);
  }
}
