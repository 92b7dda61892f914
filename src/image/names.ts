import { isDigest } from './digest.ts';
import { formatReference, parseReference, type Reference, repositoryOf } from './reference.ts';
import type { ImageRow } from './types.ts';

/** Shorter ones are too likely to be a name. */
const SHORTEST_PREFIX = 4;

/**
 * The image that a caller means: an id with or without `sha256:`, a tag or digest in any form of reference, or
 * the beginning of an id that only one image has. A name wins over the beginning of an id.
 */
export function findImage(rows: ImageRow[], text: string): ImageRow | undefined {
  const byId = findById(rows, text);
  if (byId !== undefined) return byId;
  const named = findByName(rows, text);
  if (named !== undefined) return named;
  const prefix = text.replace(/^sha256:/, '');
  if (prefix.length < SHORTEST_PREFIX || !/^[0-9a-f]+$/.test(prefix)) return undefined;
  const matches = rows.filter((row) => row.id.startsWith(`sha256:${prefix}`));
  return matches.length === 1 ? matches[0] : undefined;
}

function findById(rows: ImageRow[], text: string): ImageRow | undefined {
  const id = isDigest(text) ? text : `sha256:${text}`;
  return rows.find((row) => row.id === id);
}

function findByName(rows: ImageRow[], text: string): ImageRow | undefined {
  let name: string;
  try {
    name = formatReference(parseReference(text));
  } catch {
    return undefined;
  }
  return rows.find((row) => row.repoTags.includes(name) || row.repoDigests.includes(name));
}

/** `row` with the names that a pull of `reference` gives it; `digest` is what the registry has under it, '' = it is from no registry. */
export function withNames(row: ImageRow, reference: Reference, digest: string): ImageRow {
  const repoDigests = digest === '' ? [] : [`${repositoryOf(reference)}@${digest}`];
  const tags = reference.tag === '' ? [] : [formatReference(reference)];
  return {
    ...row,
    repoTags: [...new Set([...row.repoTags, ...tags])],
    repoDigests: [...new Set([...row.repoDigests, ...repoDigests])],
  };
}

/** `row` without the tag of `reference`; the same object where it has no such tag. */
export function withoutTag(row: ImageRow, tag: string): ImageRow {
  if (!row.repoTags.includes(tag)) return row;
  return { ...row, repoTags: row.repoTags.filter((other) => other !== tag) };
}
