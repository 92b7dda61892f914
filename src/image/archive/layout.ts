import { SkiffError } from '../../base/errors.ts';
import type { Descriptor, Index, Platform } from '../../oci/image-spec.ts';
import { digestOf, hexOf, isDigest, verifyBytes } from '../digest.ts';
import { choosePlatform, parseDocument } from '../manifest.ts';
import { parseReference, type Reference } from '../reference.ts';
import { type ArchiveFiles, readDocument } from './files.ts';
import type { ArchivedImage, ImageSource } from './source.ts';

/** The full name, as containerd's tools note it, and the tag or name of the image spec (annotations.md). */
const FULL_NAME = 'io.containerd.image.name';
const REF_NAME = 'org.opencontainers.image.ref.name';

type Entry = Descriptor & { annotations?: Record<string, string> };

/** The images of an OCI layout (image-layout.md). `name` names what has no name there, or is the repository of its tags. */
export async function layoutImages(
  files: ArchiveFiles,
  options: { name: string; platform: Platform },
): Promise<ArchivedImage[]> {
  const bytes = await readDocument(files, 'index.json');
  const document = parseDocument(bytes, '', `index.json of ${files.path}`);
  if (document.kind !== 'index')
    throw new SkiffError('failed_precondition', `read index.json of ${files.path}: it is no index`);
  const entries = (JSON.parse(bytes.toString()) as { manifests: Entry[] }).manifests;
  const byName = Map.groupBy(
    entries,
    ({ annotations }) => annotations?.[FULL_NAME] ?? annotations?.[REF_NAME] ?? '',
  );
  return [...byName].map(([noted, manifests]) => {
    const index: Index = { schemaVersion: 2, manifests };
    const what = `${noted === '' ? 'the image' : noted} of ${files.path}`;
    const chosen = manifests.length === 1 ? manifests[0] : choosePlatform(index, options.platform, what);
    if (chosen === undefined) throw new SkiffError('not_found', `read ${what}: it has no manifest`);
    const reference = referenceOf(noted, options.name, byName.size === 1, files.path);
    return { references: [reference], source: layoutSource(files, chosen), hasDigest: true };
  });
}

function layoutSource(files: ArchiveFiles, top: Descriptor): ImageSource {
  const blob = async (digest: string) => {
    const bytes = await readDocument(files, blobName(digest));
    verifyBytes(bytes, digest, `${digest} of ${files.path}`);
    return bytes;
  };
  return {
    manifest: async (tagOrDigest) => {
      const digest = isDigest(tagOrDigest) ? tagOrDigest : top.digest;
      const bytes = await blob(digest);
      return { bytes, digest, mediaType: digest === top.digest ? top.mediaType : '' };
    },
    config: (descriptor) => blob(descriptor.digest),
    blobSource: async ({ digest, size }) => {
      const extent = await files.find(blobName(digest));
      if (extent === undefined)
        throw new SkiffError('not_found', `read ${files.path}: it has no layer ${digest}`);
      if (extent.size !== size)
        throw new SkiffError(
          'data_loss',
          `read layer ${digest} of ${files.path}: it has ${extent.size} bytes, its manifest says ${size}`,
        );
      return { ...extent, digest, size };
    },
  };
}

/** What `docker save` wrote before it wrote layouts: manifest.json, configurations, and layers as plain archives. */
export async function dockerImages(files: ArchiveFiles, options: { name: string }): Promise<ArchivedImage[]> {
  const listed: unknown = JSON.parse((await readDocument(files, 'manifest.json')).toString());
  if (!Array.isArray(listed))
    throw new SkiffError('failed_precondition', `read manifest.json of ${files.path}: it is no list`);
  return Promise.all(
    listed.map(async (entry: { Config?: unknown; RepoTags?: unknown; Layers?: unknown }) => {
      const { Config: config, RepoTags: tags, Layers: layers } = entry;
      if (typeof config !== 'string' || !isTexts(layers))
        throw new SkiffError(
          'failed_precondition',
          `read manifest.json of ${files.path}: an image in it is none`,
        );
      const names = isTexts(tags) && tags.length > 0 ? tags : [options.name];
      const references = names.map((name) => referenceOf(name, '', false, files.path));
      return { references, source: await dockerSource(files, config, layers), hasDigest: false };
    }),
  );
}

async function dockerSource(
  files: ArchiveFiles,
  configName: string,
  layerNames: string[],
): Promise<ImageSource> {
  const config = await readDocument(files, configName);
  const diffIds = (JSON.parse(config.toString()) as { rootfs?: { diff_ids?: unknown } }).rootfs?.diff_ids;
  if (!isTexts(diffIds) || diffIds.length !== layerNames.length)
    throw new SkiffError(
      'failed_precondition',
      `read ${configName} of ${files.path}: its layers are not those of manifest.json`,
    );
  const extents = await Promise.all(
    layerNames.map(async (name) => {
      const extent = await files.find(name);
      if (extent === undefined) throw new SkiffError('not_found', `read ${files.path}: it has no ${name}`);
      return extent;
    }),
  );
  const layers = extents.map(({ size }, index) => ({
    mediaType: 'application/vnd.docker.image.rootfs.diff.tar',
    // Layers are plain archives: their own digest is the diff id.
    digest: diffIds[index] ?? '',
    size,
  }));
  const mediaType = 'application/vnd.docker.distribution.manifest.v2+json';
  const configType = 'application/vnd.docker.container.image.v1+json';
  const described = { mediaType: configType, digest: digestOf(config), size: config.length };
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config: described, layers }));
  return {
    manifest: async () => ({ bytes, digest: digestOf(bytes), mediaType }),
    config: async () => config,
    blobSource: async ({ digest }) => {
      const extent = extents[layers.findIndex((layer) => layer.digest === digest)];
      if (extent === undefined)
        throw new SkiffError('not_found', `read ${files.path}: it has no layer ${digest}`);
      return { ...extent, digest };
    },
  };
}

/** The reference that a noted name or tag stands for. */
function referenceOf(noted: string, name: string, only: boolean, path: string): Reference {
  if (name !== '' && only) return parseReference(name);
  // A tag alone says nothing of its repository.
  const isName = /[/:.]/.test(noted) && !/^[\w.-]+$/.test(noted);
  if (isName) return parseReference(noted);
  if (name === '')
    throw new SkiffError(
      'invalid_argument',
      `read ${path}: ${noted === '' ? 'an image in it has no name' : `"${noted}" is a tag alone`}; give its name with --name`,
    );
  return parseReference(noted === '' ? name : `${name}:${noted}`);
}

function blobName(digest: string): string {
  return `blobs/${digest.slice(0, digest.indexOf(':'))}/${hexOf(digest)}`;
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
