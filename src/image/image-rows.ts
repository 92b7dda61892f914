import { nowNs } from '../base/clock.ts';
import { isCode } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Rows } from '../base/rows.ts';
import { findImage, withNames, withoutTag } from './names.ts';
import type { Resolved } from './pull.ts';
import { formatReference, type Reference } from './reference.ts';
import { runConfigOf } from './run-config.ts';
import type { ImageRow } from './types.ts';

/** The images that are listed, and their names: a tag belongs to one image, the one that was pulled under it last. */
export class ImageRows {
  readonly #rows: Rows<ImageRow>;
  readonly #log: Log;

  constructor(deps: { rows: Rows<ImageRow>; log: Log }) {
    this.#rows = deps.rows;
    this.#log = deps.log;
  }

  values(): ImageRow[] {
    return this.#rows.values();
  }

  find(reference: string): ImageRow | undefined {
    return findImage(this.#rows.values(), reference);
  }

  /** Adds the image or gives it one more name, and takes a tag that moved from its old image. */
  async pulled(reference: Reference, fresh: ImageRow, digest: string): Promise<void> {
    const name = formatReference(reference);
    const named = (row: ImageRow) => withNames({ ...row, pulledAt: fresh.pulledAt }, reference, digest);
    const why = { subject: fresh.id, what: 'image pulled', detail: { reference: name } };
    for (;;) {
      try {
        if (this.#rows.get(fresh.id) === undefined) await this.#rows.insert(named(fresh), why);
        else await this.#rows.update(fresh.id, named, why);
        break;
      } catch (cause) {
        // Removed or added by another call in between: look again.
        if (!isCode(cause, 'already_exists', 'not_found')) throw cause;
      }
    }
    if (reference.tag !== '') await this.#takeTag(name, fresh.id);
  }

  async remove(row: ImageRow): Promise<void> {
    const why = { subject: row.id, what: 'image removed', detail: { tags: row.repoTags } };
    await this.#rows.delete(row.id, why);
  }

  /** Drops images without one of their layers; of two images with one tag the later pull keeps it. */
  async recover(hasLayer: (id: string) => boolean): Promise<void> {
    for (const row of this.#rows.values()) {
      const layers = row.thin === null ? row.diffIds : [...row.diffIds, row.thin];
      const missing = layers.find((id) => !hasLayer(id));
      if (missing === undefined) continue;
      this.#log.error(
        { image: row.id, layer: missing },
        'an image has lost a layer and is dropped; pull it again',
      );
      await this.#rows.delete(row.id, { subject: row.id, what: 'image lost', detail: { missing } });
    }
    const latestFirst = this.#rows
      .values()
      .sort((a, b) => (BigInt(a.pulledAt) > BigInt(b.pulledAt) ? -1 : 1));
    // Read anew: a later pull may have taken its tags in an earlier turn of this loop.
    for (const { id } of latestFirst)
      for (const tag of this.#rows.get(id)?.repoTags ?? []) await this.#takeTag(tag, id);
  }

  async #takeTag(tag: string, owner: string): Promise<void> {
    for (const row of this.#rows.values()) {
      if (row.id === owner || !row.repoTags.includes(tag)) continue;
      const why = { subject: row.id, what: 'tag moved away', detail: { tag, to: owner } };
      await this.#rows
        .update(row.id, (old) => withoutTag(old, tag), why)
        .catch((cause) => {
          if (!isCode(cause, 'not_found')) throw cause;
        });
    }
  }
}

/** The row of an image that nobody has named yet. */
export function rowOf(resolved: Resolved, thin: string | null): ImageRow {
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
