import { SkiffError } from '../base/errors.ts';
import { digestOf } from './digest.ts';
import type { LayerStore } from './layer/layer-store.ts';
import type { LayerPool } from './layer/pool.ts';
import type { LayerRow } from './types.ts';

const PLAIN = { implicitDirs: [], opaqueRoot: false, recipe: false };

/** Id of the thin layer of a chain of layers, `diffIds` from the base up. */
export function chainId(diffIds: string[]): string {
  return `chain:${digestOf(diffIds.join(' '))}`;
}

/**
 * The thin directory of a chain (src/os/thin-layer.ts): its layer id, or null
 * where the layers do without. An image without layers gets an empty one,
 * because overlayfs needs a lower directory.
 */
export async function makeThin(
  chain: { diffIds: string[] /** Top first, each once. */; layers: LayerRow[] },
  deps: { store: LayerStore; pool: LayerPool },
  signal: AbortSignal,
): Promise<string | null> {
  const { diffIds, layers } = chain;
  const empty = layers.length === 0;
  if (!empty && (layers.length === 1 || layers.every((row) => row.implicitDirs.length === 0))) return null;
  const id = chainId(diffIds);
  const end = layers.findIndex((row) => row.opaqueRoot);
  const visible = end < 0 ? layers : layers.slice(0, end + 1);
  const made = await deps.store.ensure(id, signal, async ({ directory }, shared) => {
    if (empty) return PLAIN;
    const task = {
      kind: 'thin' as const,
      directory,
      layers: visible.map((row) => ({
        directory: deps.store.directoryOf(row),
        implicitDirs: row.implicitDirs,
      })),
    };
    const result = await deps.pool.run(task, shared);
    if (result.kind !== 'thin') throw new SkiffError('internal', `make thin layer ${id}: wrong reply`);
    return result.needed ? PLAIN : null;
  });
  return made === null ? null : id;
}
