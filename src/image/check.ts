import { messageOf, SkiffError } from '../base/errors.ts';
import { diskUsage } from '../os/tree.ts';
import type { Blobs } from './blobs.ts';
import type { ImageRows } from './image-rows.ts';
import type { LayerStore } from './layer/layer-store.ts';
import type { LayerPool } from './layer/pool.ts';
import type { ImageRow, LayerRow } from './types.ts';

/** One thing that was looked at, or done about it. */
export type CheckEvent =
  /** A layer or document of these images; `problem` '' = it is as it was pulled. */
  | { kind: 'layer' | 'document'; id: string; images: string[]; problem: string }
  /** An image was fetched again; `problem` says why not, and then it is gone. */
  | { kind: 'repair'; id: string; images: string[]; problem: string };

interface CheckDeps {
  rows: ImageRows;
  store: LayerStore;
  blobs: Blobs;
  pool: LayerPool;
}

/** Compares every layer and document on disk with its digest. */
export async function* checkImages(deps: CheckDeps, signal: AbortSignal): AsyncGenerator<CheckEvent> {
  for (const layer of deps.store.values()) {
    signal.throwIfAborted();
    const images = holders(deps.rows.values(), layer.id);
    yield { kind: 'layer', id: layer.id, images, problem: await layerProblem(layer, deps, signal) };
  }
  const digests = new Set(deps.rows.values().flatMap((row) => row.blobs));
  for (const digest of digests) {
    signal.throwIfAborted();
    const images = deps.rows.values().filter((row) => row.blobs.includes(digest));
    const problem = await deps.blobs.get(digest).then(() => '', messageOf);
    yield { kind: 'document', id: digest, images: images.map(nameOf), problem };
  }
}

/** The name to show for an image, and to fetch it again by. */
export function nameOf(row: ImageRow): string {
  return row.repoTags[0] ?? row.repoDigests[0] ?? row.id;
}

/** Names of the images that have a layer. */
export function holders(rows: ImageRow[], layer: string): string[] {
  return rows.filter((row) => row.diffIds.includes(layer) || row.thin === layer).map(nameOf);
}

/** Its names first, which takes no reading; then its bytes, where there is a recipe. */
async function layerProblem(layer: LayerRow, deps: CheckDeps, signal: AbortSignal): Promise<string> {
  const directory = deps.store.directoryOf(layer);
  const recipe = deps.store.recipeOf(layer);
  try {
    const { inodes } = await diskUsage(directory);
    const expected = layer.inodes - (recipe === undefined ? 0 : 1);
    if (inodes !== expected) return `it has ${inodes} files and directories, it was made with ${expected}`;
    if (recipe === undefined) return '';
    const task = { kind: 'verify' as const, diffId: layer.id, directory, recipe };
    const result = await deps.pool.run(task, signal);
    if (result.kind !== 'verify') throw new SkiffError('internal', 'check layer: wrong reply');
    return result.problem ?? '';
  } catch (cause) {
    signal.throwIfAborted();
    return messageOf(cause);
  }
}
