import type { Platform } from '../../oci/image-spec.ts';
import { openArchive } from './files.ts';
import { dockerImages, layoutImages } from './layout.ts';
import type { ArchivedImage } from './source.ts';

/**
 * The images in an OCI layout (a directory or a tar archive) or an archive of `docker save`, perhaps compressed.
 * `scratch` is a file that may come to be, the caller's to remove when the images are no longer read.
 */
export async function archivedImages(
  options: { path: string; name: string; platform: Platform },
  scratch: string,
): Promise<ArchivedImage[]> {
  const files = await openArchive(options.path, scratch);
  const isLayout = (await files.find('index.json')) !== undefined;
  return isLayout ? layoutImages(files, options) : dockerImages(files, options);
}
