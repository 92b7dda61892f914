import { mapBounded } from '../base/bounded.ts';
import { SkiffError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Slots } from '../base/slots.ts';
import type { Descriptor, ImageConfig, Manifest, Platform } from '../oci/image-spec.ts';
import type { ImageSource } from './archive/source.ts';
import type { LayerStore, Staged } from './layer/layer-store.ts';
import type { LayerPool } from './layer/pool.ts';
import { choosePlatform, parseConfig, parseDocument } from './manifest.ts';
import { formatReference, type Reference } from './reference.ts';
import type { RetryOptions } from './registry/retry.ts';
import type { PullProgress } from './types.ts';

/** Indexes may hold indexes, but nobody has a reason to go deeper than this. */
const MAX_INDEX_DEPTH = 4;

/** A document as it goes to the blob store. */
export interface StoredDocument {
  digest: string;
  bytes: Buffer;
}

/** What a reference names for our platform. */
export interface Resolved {
  /** What the registry has under the reference: an index or a manifest. */
  descriptor: Descriptor;
  manifest: Manifest;
  config: ImageConfig;
  documents: StoredDocument[];
}

/** Asks the registry, or the archive, what `reference` is: index, manifest of our platform, configuration. */
export async function resolveImage(
  options: { reference: Reference; platform: Platform },
  source: ImageSource,
  signal: AbortSignal,
): Promise<Resolved> {
  const { reference, platform } = options;
  const name = formatReference(reference);
  const documents: StoredDocument[] = [];
  let top: Descriptor | undefined;
  let wanted = reference.digest === '' ? reference.tag : reference.digest;
  for (let depth = 0; depth < MAX_INDEX_DEPTH; depth++) {
    const fetched = await source.manifest(wanted, signal);
    documents.push({ digest: fetched.digest, bytes: fetched.bytes });
    top ??= { mediaType: fetched.mediaType, digest: fetched.digest, size: fetched.bytes.byteLength };
    const document = parseDocument(fetched.bytes, fetched.mediaType, name);
    if (document.kind === 'index') {
      wanted = choosePlatform(document.index, platform, name).digest;
      continue;
    }
    const { manifest } = document;
    const bytes = await source.config(manifest.config, signal);
    documents.push({ digest: manifest.config.digest, bytes });
    const config = parseConfig(bytes, manifest, name);
    return { descriptor: top, manifest, config, documents };
  }
  throw new SkiffError('failed_precondition', `read ${name}: indexes within indexes go too deep`);
}

export interface FetchOptions {
  name: string;
  concurrency: number;
  /** Shared with the other pulls from this registry. */
  slots: Slots;
  retry: RetryOptions;
  stallTimeoutMs: number;
  progress: (event: PullProgress) => void;
}

interface FetchDeps {
  source: ImageSource;
  store: LayerStore;
  pool: LayerPool;
  log: Log;
}

/** Brings the layers that are not here yet, some side by side; one that fails ends the others. */
export async function fetchLayers(
  resolved: Resolved,
  options: FetchOptions,
  deps: FetchDeps,
  signal: AbortSignal,
): Promise<void> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const layers = distinct(resolved);
  for (const { descriptor } of layers) tell(options, descriptor, 'waiting', 0);
  await mapBounded(layers, options.concurrency, async ({ descriptor, diffId }) => {
    try {
      await fetchLayer(descriptor, diffId, options, deps, either);
    } catch (cause) {
      tell(options, descriptor, 'failed', 0);
      failed.abort(cause);
      // Layers that end because of another one's failure report that failure.
      throw signal.aborted ? signal.reason : failed.signal.reason;
    }
  });
}

/** A layer that is in an image twice is one directory. */
function distinct(resolved: Resolved): { descriptor: Descriptor; diffId: string }[] {
  const byDiffId = new Map<string, Descriptor>();
  for (const [index, diffId] of resolved.config.rootfs.diff_ids.entries()) {
    const descriptor = resolved.manifest.layers[index];
    if (descriptor !== undefined && !byDiffId.has(diffId)) byDiffId.set(diffId, descriptor);
  }
  return [...byDiffId].map(([diffId, descriptor]) => ({ descriptor, diffId }));
}

async function fetchLayer(
  descriptor: Descriptor,
  diffId: string,
  options: FetchOptions,
  deps: FetchDeps,
  signal: AbortSignal,
): Promise<void> {
  if (deps.store.get(diffId) !== undefined) {
    tell(options, descriptor, 'exists', descriptor.size);
    return;
  }
  tell(options, descriptor, 'fetching', 0);
  await deps.store.ensure(diffId, signal, async (staged, shared) => {
    const facts = await unpackInWorker(descriptor, diffId, staged, options, deps, shared);
    for (const warning of facts.warnings)
      deps.log.warn({ image: options.name, layer: descriptor.digest }, `left out of a layer: ${warning}`);
    const { implicitDirs, opaqueRoot, replaced } = facts;
    return { implicitDirs, opaqueRoot, recipe: !replaced };
  });
  tell(options, descriptor, 'done', descriptor.size);
}

async function unpackInWorker(
  descriptor: Descriptor,
  diffId: string,
  staged: Staged,
  options: FetchOptions,
  deps: FetchDeps,
  signal: AbortSignal,
) {
  const { retry, stallTimeoutMs, slots } = options;
  const source = await deps.source.blobSource(descriptor, signal);
  const task = { kind: 'unpack' as const, source, diffId, ...staged, retry, stallTimeoutMs };
  const onBytes = (received: number) => tell(options, descriptor, 'fetching', received);
  const result = await slots.run(() => deps.pool.run(task, signal, onBytes), signal);
  if (result.kind !== 'unpack')
    throw new SkiffError('internal', `unpack layer ${descriptor.digest}: wrong reply`);
  return result.facts;
}

function tell(options: FetchOptions, layer: Descriptor, phase: PullProgress['phase'], current: number): void {
  options.progress({ image: options.name, layer: layer.digest, phase, current, total: layer.size });
}
