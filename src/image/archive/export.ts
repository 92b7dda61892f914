import { createWriteStream } from 'node:fs';
import { cp, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { mapBounded } from '../../base/bounded.ts';
import { errnoOf, SkiffError } from '../../base/errors.ts';
import { newId } from '../../base/id.ts';
import { type Descriptor, MEDIA_TYPES } from '../../oci/image-spec.ts';
import type { Blobs } from '../blobs.ts';
import { digestOf, hexOf } from '../digest.ts';
import type { LayerStore } from '../layer/layer-store.ts';
import type { LayerPool } from '../layer/pool.ts';
import type { Packing } from '../layer/protocol.ts';
import type { ImageRow } from '../types.ts';
import { type Archived, writeArchive } from './tar-writer.ts';

export interface ExportOptions {
  images: ImageRow[];
  /** Absolute: a directory to be made, or a file. */
  path: string;
  /** An OCI layout as a directory, or as one tar archive that `docker load` takes, too. */
  form: 'directory' | 'archive';
  packing: Packing;
  /** Layers packed side by side. */
  concurrency: number;
}

interface ExportDeps {
  store: LayerStore;
  blobs: Blobs;
  pool: LayerPool;
}

const LAYER_TYPE: Record<Packing, string> = {
  none: 'application/vnd.oci.image.layer.v1.tar',
  gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  zstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
};

/**
 * Writes images to `path`, which must not be there. Layers are put together again byte for byte and
 * packed anew: configurations, and so the ids of the images, stay; manifests become others.
 */
export async function exportImages(
  options: ExportOptions,
  deps: ExportDeps,
  signal: AbortSignal,
): Promise<void> {
  await requireAbsent(options.path);
  const work = join(deps.store.staging, newId().slice(0, 16));
  await mkdir(work, { mode: 0o700 });
  try {
    const files = await makeFiles(options, work, deps, signal);
    signal.throwIfAborted();
    if (options.form === 'directory') await writeDirectory(options.path, files);
    else await writeTar(options.path, files, signal);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function makeFiles(
  options: ExportOptions,
  work: string,
  deps: ExportDeps,
  signal: AbortSignal,
): Promise<Archived[]> {
  const diffIds = [...new Set(options.images.flatMap((image) => image.diffIds))];
  const packed = await mapBounded(diffIds, options.concurrency, (id) =>
    pack(id, options.packing, work, deps, signal),
  );
  const layers = new Map(packed.map((layer, index) => [diffIds[index] ?? '', layer]));
  const files = new Map<string, Archived>();
  const put = (content: Buffer): { digest: string; size: number; name: string } => {
    const digest = digestOf(content);
    const name = blobName(digest);
    files.set(name, { name, content });
    return { digest, size: content.length, name };
  };
  for (const { digest, size, file } of packed)
    files.set(blobName(digest), { name: blobName(digest), file, size });
  const manifests: Descriptor[] = [];
  const docker: object[] = [];
  for (const image of options.images) {
    const config = put(await deps.blobs.get(image.id));
    const described = image.diffIds.map((id) => layers.get(id)).filter((layer) => layer !== undefined);
    const manifest = put(manifestOf(config, described, options.packing));
    const tags = image.repoTags.length > 0 ? image.repoTags : [''];
    for (const tag of tags) manifests.push(entryOf(manifest, tag));
    docker.push({
      Config: config.name,
      RepoTags: image.repoTags,
      Layers: described.map(({ digest }) => blobName(digest)),
    });
  }
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests };
  return [
    { name: 'oci-layout', content: json({ imageLayoutVersion: '1.0.0' }) },
    { name: 'index.json', content: json(index) },
    { name: 'manifest.json', content: json(docker) },
    ...files.values(),
  ];
}

async function pack(id: string, packing: Packing, work: string, deps: ExportDeps, signal: AbortSignal) {
  const row = deps.store.get(id);
  if (row === undefined)
    throw new SkiffError('failed_precondition', `export layer ${id}: it is gone; pull its image again`);
  const recipe = deps.store.recipeOf(row);
  if (recipe === undefined)
    throw new SkiffError(
      'failed_precondition',
      `export layer ${id}: its archive has two entries for one name and cannot be put together again; copy the image from its registry`,
    );
  const file = join(work, newId().slice(0, 16));
  const directory = deps.store.directoryOf(row);
  const task = { kind: 'pack' as const, diffId: id, directory, recipe, packing, file };
  const result = await deps.pool.run(task, signal);
  if (result.kind !== 'pack') throw new SkiffError('internal', `export layer ${id}: wrong reply`);
  return { digest: result.digest, size: result.size, file };
}

function manifestOf(
  config: { digest: string; size: number },
  layers: { digest: string; size: number }[],
  packing: Packing,
): Buffer {
  const descriptor = (mediaType: string, { digest, size }: { digest: string; size: number }) => ({
    mediaType,
    digest,
    size,
  });
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: descriptor(MEDIA_TYPES.ociConfig, config),
      layers: layers.map((layer) => descriptor(LAYER_TYPE[packing], layer)),
    }),
  );
}

/** Both names that tools look for: the full one, and the tag alone. */
function entryOf({ digest, size }: { digest: string; size: number }, tag: string): Descriptor {
  const entry = { mediaType: MEDIA_TYPES.ociManifest, digest, size };
  if (tag === '') return entry;
  const annotations = {
    'io.containerd.image.name': tag,
    'org.opencontainers.image.ref.name': tag.slice(tag.lastIndexOf(':') + 1),
  };
  return { ...entry, annotations };
}

async function writeDirectory(path: string, files: Archived[]): Promise<void> {
  try {
    await mkdir(join(path, 'blobs/sha256'), { recursive: true });
    for (const entry of files) {
      const target = join(path, entry.name);
      if ('content' in entry) await writeFile(target, entry.content);
      else await cp(entry.file, target);
    }
  } catch (cause) {
    await rm(path, { recursive: true, force: true });
    throw SkiffError.from(cause, `write ${path}`);
  }
}

async function writeTar(path: string, files: Archived[], signal: AbortSignal): Promise<void> {
  const partial = `${path}.partial`;
  try {
    await pipeline(writeArchive(files), createWriteStream(partial), { signal });
    await rename(partial, path);
  } catch (cause) {
    await rm(partial, { force: true });
    throw SkiffError.from(cause, `write ${path}`);
  }
}

async function requireAbsent(path: string): Promise<void> {
  try {
    await stat(path);
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return;
    throw SkiffError.from(cause, `export to ${path}`);
  }
  throw new SkiffError(
    'already_exists',
    `export to ${path}: there is something already; remove it, or choose another name`,
  );
}

function blobName(digest: string): string {
  return `blobs/sha256/${hexOf(digest)}`;
}
