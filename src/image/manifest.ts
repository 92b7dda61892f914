import { SkiffError } from '../base/errors.ts';
import {
  type Descriptor,
  type ImageConfig,
  type Index,
  LAYER_TYPES,
  type Manifest,
  MEDIA_TYPES,
  type Platform,
} from '../oci/image-spec.ts';
import { isDigest } from './digest.ts';
import { describePlatform, matchRank } from './platform.ts';

/** What the `Accept` header of a manifest request lists. */
export const MANIFEST_TYPES = [
  MEDIA_TYPES.ociIndex,
  MEDIA_TYPES.dockerList,
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.dockerManifest,
];

export type Document = { kind: 'index'; index: Index } | { kind: 'manifest'; manifest: Manifest };

const CONFIG_TYPES: string[] = [MEDIA_TYPES.ociConfig, MEDIA_TYPES.dockerConfig];
const COMPRESSIONS = ['', '+gzip', '+zstd', '.gzip', '.zstd'];

/**
 * Parses a manifest or index. `mediaType` is the registry's Content-Type, used
 * where the document does not say its own type. What is no container image is
 * refused with a word on what it is instead.
 */
export function parseDocument(bytes: Uint8Array, mediaType: string, what: string): Document {
  const json = parseObject(bytes, what);
  const type = typeof json.mediaType === 'string' ? json.mediaType : mediaType;
  if (json.schemaVersion === 1 || type.startsWith(MEDIA_TYPES.dockerSchema1.replace('+json', '')))
    throw refused(
      what,
      'it is in Docker schema 1, which is no longer served; push it again with a current tool',
    );
  // One document must not mean two things to two readers (CVE-2021-41190).
  if ('manifests' in json && 'layers' in json) throw refused(what, 'it is an index and a manifest at once');
  if (Array.isArray(json.manifests)) return { kind: 'index', index: checkIndex(json, what) };
  if (isObject(json.config) && Array.isArray(json.layers))
    return { kind: 'manifest', manifest: checkManifest(json, what) };
  throw refused(what, `it is neither an image manifest nor an index (media type ${type || 'not given'})`);
}

/** The manifest of an index that fits `platform` best; `not_found` lists what there is. */
export function choosePlatform(index: Index, platform: Platform, what: string): Descriptor {
  const ranked = index.manifests
    .map((entry) => ({ entry, rank: entry.platform === undefined ? 0 : matchRank(entry.platform, platform) }))
    .filter((candidate): candidate is { entry: Descriptor; rank: number } => candidate.rank !== null)
    .sort((a, b) => b.rank - a.rank);
  const best = ranked[0];
  if (best !== undefined) return best.entry;
  const offered = index.manifests
    .map((entry) => entry.platform)
    .filter((offer) => offer !== undefined && offer.os !== 'unknown')
    .map((offer) => describePlatform(offer as Platform));
  const list = offered.length === 0 ? 'none' : [...new Set(offered)].join(', ');
  throw new SkiffError(
    'not_found',
    `choose platform of ${what}: nothing for ${describePlatform(platform)}; the image is made for ${list}`,
  );
}

/** Parses an image configuration and holds it against its manifest. */
export function parseConfig(bytes: Uint8Array, manifest: Manifest, what: string): ImageConfig {
  const json = parseObject(bytes, what);
  const rootfs = json.rootfs;
  const diffIds = isObject(rootfs) ? rootfs.diff_ids : undefined;
  if (!Array.isArray(diffIds) || !diffIds.every((id) => typeof id === 'string' && isDigest(id)))
    throw refused(what, 'its configuration has no list of diff ids');
  if (diffIds.length !== manifest.layers.length)
    throw refused(
      what,
      `its manifest names ${manifest.layers.length} layers, its configuration ${diffIds.length}`,
    );
  if (typeof json.os !== 'string' || typeof json.architecture !== 'string')
    throw refused(what, 'its configuration does not say its os and architecture');
  return json as unknown as ImageConfig;
}

function checkIndex(json: Record<string, unknown>, what: string): Index {
  return { schemaVersion: 2, manifests: (json.manifests as unknown[]).map((d) => checkDescriptor(d, what)) };
}

function checkManifest(json: Record<string, unknown>, what: string): Manifest {
  const config = checkDescriptor(json.config, what);
  if (!CONFIG_TYPES.includes(config.mediaType)) {
    const type = typeof json.artifactType === 'string' ? json.artifactType : config.mediaType;
    throw refused(what, `it is an artifact of type ${type}, not a container image`);
  }
  const layers = (json.layers as unknown[]).map((layer) => checkDescriptor(layer, what));
  for (const layer of layers) checkLayerType(layer, what);
  return { schemaVersion: 2, config, layers };
}

function checkLayerType(layer: Descriptor, what: string): void {
  if (layer.mediaType.endsWith('+encrypted'))
    throw refused(what, `layer ${layer.digest} is encrypted, and encrypted images are not served`);
  const known = LAYER_TYPES.some((base) => COMPRESSIONS.some((suffix) => layer.mediaType === base + suffix));
  if (!known) throw refused(what, `layer ${layer.digest} has the unknown media type ${layer.mediaType}`);
}

function checkDescriptor(value: unknown, what: string): Descriptor {
  if (!isObject(value)) throw refused(what, 'a descriptor in it is not an object');
  const { digest, size, mediaType } = value;
  if (typeof digest !== 'string' || !isDigest(digest))
    throw refused(what, `${JSON.stringify(digest)} in it is not a digest`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw refused(what, `the size of ${digest} in it is not a number of bytes`);
  if (typeof mediaType !== 'string') throw refused(what, `the media type of ${digest} is missing`);
  const platform = isObject(value.platform) ? (value.platform as unknown as Platform) : undefined;
  return platform === undefined ? { digest, size, mediaType } : { digest, size, mediaType, platform };
}

function parseObject(bytes: Uint8Array, what: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw new SkiffError('data_loss', `parse ${what}: it is not JSON`, { cause });
  }
  if (!isObject(json)) throw refused(what, 'it is not a JSON object');
  return json;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refused(what: string, why: string): SkiffError {
  return new SkiffError('failed_precondition', `read ${what}: ${why}`);
}
