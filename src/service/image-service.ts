import { nowNs } from '../base/clock.ts';
import { SkiffError } from '../base/errors.ts';
import type { FilesystemUsage } from '../image/types.ts';
import type { ImageApi, ImageFsInfo } from './api.ts';
import type { Hall } from './hall.ts';

/** The calls of CRI's ImageService. */
export function imageService(hall: Hall): ImageApi {
  return {
    listImages(image) {
      if (image === '') return hall.images.list();
      const found = hall.images.find(image);
      return found === undefined ? [] : [found];
    },
    imageStatus(image) {
      requireName(image);
      return hall.images.find(image);
    },
    pullImage(call, image, auth, progress) {
      requireName(image);
      return hall.images.pull(image, auth, { signal: call.signal, progress: progress ?? (() => undefined) });
    },
    async removeImage(image) {
      requireName(image);
      await hall.images.remove(image);
    },
    imageFsInfo: () => imageFsInfo(hall),
  };
}

function requireName(image: string): void {
  if (image === '') throw new SkiffError('invalid_argument', 'image.image is empty');
}

/** Images and writable layers lie on one file system, so both lists name the same directory. */
async function imageFsInfo(hall: Hall): Promise<ImageFsInfo> {
  const images = await hall.images.usage();
  const containers: FilesystemUsage = {
    timestamp: nowNs(),
    mountpoint: images.mountpoint,
    ...(await hall.stats.writableUsage(hall.containers.values())),
  };
  return { imageFilesystems: [images], containerFilesystems: [containers] };
}
