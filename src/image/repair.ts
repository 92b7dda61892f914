import { messageOf } from '../base/errors.ts';
import { type CheckEvent, nameOf } from './check.ts';
import type { ImageRow } from './types.ts';

interface RepairDeps {
  rows: ImageRow[];
  /** True for a layer that a container uses. */
  isUsed: (layer: string) => boolean;
  /** Keeps layers and documents from being freed until the answered function is called. */
  hold: (ids: string[]) => () => void;
  remove: (id: string) => Promise<void>;
  pull: (name: string) => Promise<unknown>;
}

/**
 * Fetches again the images of which something is damaged. They are gone meanwhile, all of
 * them first: a damaged layer goes only when the last image that has it does. One that cannot be fetched stays gone.
 */
export async function* repairImages(damaged: CheckEvent[], deps: RepairDeps): AsyncGenerator<CheckEvent> {
  const ids = new Set(damaged.map((event) => event.id));
  const partsOf = (row: ImageRow) => [...row.diffIds, row.thin ?? '', ...row.blobs];
  const affected = deps.rows.filter((row) => partsOf(row).some((id) => ids.has(id)));
  const [used, free] = [true, false].map((wanted) =>
    affected.filter((row) => partsOf(row).some((id) => ids.has(id) && deps.isUsed(id)) === wanted),
  ) as [ImageRow[], ImageRow[]];
  for (const row of used)
    yield eventOf(row, 'a container uses what is damaged; remove that container, and repair again');
  // All but what is damaged stays, so that only that is fetched.
  const release = deps.hold(free.flatMap(partsOf).filter((id) => id !== '' && !ids.has(id)));
  try {
    for (const row of free) await deps.remove(row.id);
    for (const row of free) yield eventOf(row, await refetch(row, deps));
  } finally {
    release();
  }
}

async function refetch(row: ImageRow, deps: RepairDeps): Promise<string> {
  const names = row.repoTags.length > 0 ? row.repoTags : row.repoDigests.slice(0, 1);
  if (names.length === 0) return 'it has no name to fetch it by';
  try {
    for (const name of names) await deps.pull(name);
    return '';
  } catch (cause) {
    return messageOf(cause);
  }
}

function eventOf(row: ImageRow, problem: string): CheckEvent {
  return { kind: 'repair', id: row.id, images: [nameOf(row)], problem };
}
