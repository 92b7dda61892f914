import { SkiffError } from '../base/errors.ts';
import type { Image } from './cri-types.ts';
import type { Daemon } from './daemon.ts';
import { bytes, print, printIds, printJson, shortId, table } from './output.ts';

/** `skiff images`: one line per name of an image. */
export async function images(daemon: Daemon, options: { quiet: boolean; json: boolean }): Promise<void> {
  await daemon.withCri(async (cri) => {
    const reply = await cri.images.ListImages({});
    if (options.json) return printJson(reply.images);
    if (options.quiet) return printIds(reply.images);
    const rows = reply.images
      .flatMap((image) =>
        names(image).map(([name, tag]) => [name, tag, shortId(image.id), bytes(Number(image.size))]),
      )
      .sort(([a], [b]) => a!.localeCompare(b!));
    print(table(['IMAGE', 'TAG', 'ID', 'SIZE'], rows));
  });
}

/** `skiff rmi IMAGE...`: by name, digest or the start of an id. */
export async function rmi(daemon: Daemon, references: string[]): Promise<void> {
  await daemon.withCri(async (cri) => {
    for (const reference of references) {
      const { image } = await cri.images.ImageStatus({ image: { image: reference } });
      if (image === null) {
        throw new SkiffError(
          'not_found',
          `there is no image "${reference}"; "skiff images" shows what there is`,
        );
      }
      await cri.images.RemoveImage({ image: { image: reference } });
      print(image.id);
    }
  });
}

function names(image: Image): [string, string][] {
  const tagged = image.repo_tags.map((tag): [string, string] => {
    const at = tag.lastIndexOf(':');
    return [tag.slice(0, at), tag.slice(at + 1)];
  });
  if (tagged.length > 0) return tagged;
  const repositories = [...new Set(image.repo_digests.map((digest) => digest.split('@')[0] ?? ''))];
  return repositories.length > 0 ? repositories.map((name) => [name, '<none>']) : [['<none>', '<none>']];
}
