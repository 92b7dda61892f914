import { nowNs } from '../base/clock.ts';
import { SkiffError } from '../base/errors.ts';
import { Inflight } from '../base/inflight.ts';
import type { Log } from '../base/log.ts';
import type { Rows } from '../base/rows.ts';
import { Blobs } from './blobs.ts';
import { Holds } from './holds.ts';
import { ImageRows } from './image-rows.ts';
import { LayerStore } from './layer/layer-store.ts';
import { LayerPool, type PoolOptions } from './layer/pool.ts';
import { parsePlatform } from './platform.ts';
import { ImagePolicy, type PolicySettings } from './policy/policy.ts';
import { fetchLayers, type Resolved, resolveImage } from './pull.ts';
import { formatReference, parseReference, type Reference } from './reference.ts';
import { connectRegistry, type RegistrySettings } from './registry/connect.ts';
import { RegistrySlots } from './registry/registry-slots.ts';
import { DEFAULT_RETRY, type RetryOptions } from './registry/retry.ts';
import { runConfigOf } from './run-config.ts';
import { chainId, makeThin } from './thin.ts';
import type { AuthConfig, FilesystemUsage, ImageRow, LayerRow, PullProgress } from './types.ts';

/** What a reload may change; read at the start of each pull. */
export interface ImageSettings extends RegistrySettings, PolicySettings {
  /** `linux/amd64`, '' = this host's. */
  platform: string;
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

  constructor(options: ImagesOptions, deps: ImagesDeps) {
    this.#options = options;
    this.#rows = new ImageRows({ rows: deps.rows, log: deps.log });
    this.#layersInUse = deps.layersInUse;
    this.#log = deps.log;
    this.#policy = new ImagePolicy({ log: deps.log });
    this.#store = new LayerStore({ root: options.root }, { rows: deps.layers, log: deps.log });
    this.#blobs = new Blobs({ root: options.root });
    this.#pool = new LayerPool(options.pool);
  }

  /** All images, oldest first, also those without a tag. */
  list(): ImageRow[] {
    return this.#rows.values();
  }

  /** By id (with or without `sha256:`, or its unique beginning), tag or digest in any form of reference. */
  find(reference: string): ImageRow | undefined {
    return this.#rows.find(reference);
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
    const layers = this.#store.values();
    const blobs = new Set(this.#rows.values().flatMap((row) => row.blobs)).size;
    const sum = (pick: (row: LayerRow) => number) => layers.reduce((total, row) => total + pick(row), 0);
    return {
      timestamp: nowNs(),
      mountpoint: this.#options.root,
      usedBytes: sum((row) => row.usedBytes) + blobs * BLOCK,
      inodesUsed: sum((row) => row.inodes) + blobs,
    };
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
    const name = formatReference(reference);
    const settings = this.#options.settings();
    await this.#policy.admit(reference, settings);
    const stallTimeoutMs = settings.pullProgressTimeout;
    const retry = this.#options.retry ?? DEFAULT_RETRY;
    const registry = { reference, auth, settings, retry, stallTimeoutMs };
    const { client, close } = await connectRegistry(registry, { log: this.#log });
    const hold = this.#holds.take();
    const documents: string[] = [];
    const { signal, progress } = options;
    const tell = (phase: PullProgress['phase']) =>
      progress({ image: name, layer: '', phase, current: 0, total: 0 });
    try {
      tell('resolving');
      const platform = parsePlatform(settings.platform);
      const resolved = await resolveImage({ reference, platform }, client, signal);
      await this.#policy.verify({ name, descriptor: resolved.descriptor }, settings, signal);
      const { diff_ids: diffIds } = resolved.config.rootfs;
      documents.push(...resolved.documents.map((document) => document.digest));
      hold.add(...diffIds, chainId(diffIds), ...documents);
      const concurrency = settings.maxConcurrentDownloads;
      const slots = this.#slots.of(reference.domain, settings.maxConcurrentDownloadsPerRegistry);
      const fetchOptions = { name, concurrency, slots, retry, stallTimeoutMs, progress };
      await fetchLayers(
        resolved,
        fetchOptions,
        { client, store: this.#store, pool: this.#pool, log: this.#log },
        signal,
      );
      const id = await this.#commit(reference, resolved, signal);
      tell('done');
      return id;
    } catch (cause) {
      tell('failed');
      throw cause;
    } finally {
      hold.release();
      await close();
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

  async #commit(reference: Reference, resolved: Resolved, signal: AbortSignal): Promise<string> {
    const diffIds = resolved.config.rootfs.diff_ids;
    const chain = this.#chain(diffIds);
    const layers = chain.map((id) => this.#pulledLayer(id));
    const thin = await makeThin({ diffIds, layers }, { store: this.#store, pool: this.#pool }, signal);
    for (const { digest, bytes } of resolved.documents) await this.#blobs.put(digest, bytes);
    signal.throwIfAborted();
    await this.#store.publish(thin === null ? chain : [...chain, thin]);
    // The deadline may have passed while the disk was synced: then the caller must not be told of a success.
    signal.throwIfAborted();
    const row = newRow(resolved, thin);
    await this.#rows.pulled(reference, row, resolved.descriptor.digest);
    return row.id;
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

function newRow(resolved: Resolved, thin: string | null): ImageRow {
  const { manifest, config, documents } = resolved;
  return {
    id: manifest.config.digest,
    repoTags: [],
    repoDigests: [],
    size: manifest.layers.reduce((sum, layer) => sum + layer.size, manifest.config.size),
    config: runConfigOf(config),
    diffIds: config.rootfs.diff_ids,
    architecture: config.architecture,
    os: config.os,
    blobs: [...new Set(documents.map((document) => document.digest))],
    thin,
    pinned: false,
    pulledAt: nowNs(),
  };
}
