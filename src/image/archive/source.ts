import type { Descriptor } from '../../oci/image-spec.ts';
import type { FileSource } from '../layer/protocol.ts';
import type { Reference } from '../reference.ts';
import type { BlobSource } from '../registry/blob.ts';
import type { Fetched } from '../registry/client.ts';

/** Where the parts of one image come from: a registry, or files of this host. */
export interface ImageSource {
  /** A manifest or index by digest; by tag, the one that the image is asked for by. Verified. */
  manifest(tagOrDigest: string, signal: AbortSignal): Promise<Fetched>;
  /** An image configuration, verified. */
  config(descriptor: Descriptor, signal: AbortSignal): Promise<Buffer>;
  /** Where another thread gets a layer. */
  blobSource(descriptor: Descriptor, signal: AbortSignal): Promise<BlobSource | FileSource>;
}

/** One image of an archive. */
export interface ArchivedImage {
  /** Its names, the first of them first; not empty. */
  references: Reference[];
  source: ImageSource;
  /** The digest of its manifest is one that a registry could have, too. */
  hasDigest: boolean;
}
