import { holders, nameOf } from './check.ts';
import type { ImageRow, LayerRow } from './types.ts';

/** What an image takes on disk; bytes as ImageFsInfo counts them. */
export interface ImageUse {
  id: string;
  name: string;
  bytes: number;
  /** Of these, what would be free without it: no other image has it. */
  ownBytes: number;
}

export interface LayerUse {
  id: string;
  /** Absolute. */
  directory: string;
  bytes: number;
  inodes: number;
  /** Names of the images that have it; none where only a container or a pull keeps it. */
  images: string[];
}

/** The breakdown of what images take; documents are manifests and configurations. */
export interface ImagesUsage {
  images: ImageUse[];
  layers: LayerUse[];
  documents: { bytes: number; count: number };
  total: { bytes: number; inodes: number };
}

export function imagesUsage(
  rows: ImageRow[],
  layers: LayerRow[],
  facts: { directoryOf: (row: LayerRow) => string; block: number },
): ImagesUsage {
  const count = new Set(rows.flatMap((row) => row.blobs)).size;
  const documents = { count, bytes: count * facts.block };
  const uses = layers.map((layer) => ({
    id: layer.id,
    directory: facts.directoryOf(layer),
    bytes: layer.usedBytes,
    inodes: layer.inodes,
    images: holders(rows, layer.id),
  }));
  const images = rows.map((row) => {
    const ids = new Set([...row.diffIds, row.thin ?? '']);
    const mine = uses.filter((use) => ids.has(use.id));
    const own = mine.filter((use) => use.images.length === 1);
    return { id: row.id, name: nameOf(row), bytes: sum(mine), ownBytes: sum(own) };
  });
  const inodes = uses.reduce((total, use) => total + use.inodes, 0) + count;
  return { images, layers: uses, documents, total: { bytes: sum(uses) + documents.bytes, inodes } };
}

function sum(uses: { bytes: number }[]): number {
  return uses.reduce((total, use) => total + use.bytes, 0);
}
