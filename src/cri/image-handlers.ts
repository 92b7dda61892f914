import type { ImageRow } from '../image/types.ts';
import type { ImageApi } from '../service/api.ts';
import type { Calls } from './call.ts';
import { EncodedList, type WithBytes } from './encoded-list.ts';
import type { ImageServiceHandlers } from './gen/runtime/v1/ImageService.ts';
import type { StreamImagesRequest__Output } from './gen/runtime/v1/StreamImagesRequest.ts';
import { message } from './proto.ts';
import { requiredImage } from './translate/container-config.ts';
import { verboseInfo } from './translate/fields.ts';
import { authConfig, imageFsInfo, imageInfo, imageMessage } from './translate/image.ts';

/** The RPCs of the ImageService. */
export function imageHandlers(api: ImageApi, calls: Calls) {
  const list = new EncodedList<ImageRow>((row) => message('Image').serialize(imageMessage(row)));
  return {
    ListImages: calls.unary('ListImages', (_, request) => ({
      images: api.listImages(request.filter?.image?.image ?? '').map(imageMessage),
    })),
    StreamImages: calls.serverStream(
      'StreamImages',
      async function* (_, request: StreamImagesRequest__Output) {
        yield* list.batches(api.listImages(request.filter?.image?.image ?? ''));
      },
    ),
    /** An image that is not there is an answer without one, no error. */
    ImageStatus: calls.unary('ImageStatus', (_, request) => {
      const row = api.imageStatus(requiredImage(request.image, 'image').image);
      if (row === undefined) return {};
      return { image: imageMessage(row), info: verboseInfo(request.verbose ? imageInfo(row) : null) };
    }),
    PullImage: calls.unary('PullImage', async (context, request) => {
      const { image } = requiredImage(request.image, 'image');
      return { image_ref: await api.pullImage(context, image, authConfig(request.auth)) };
    }),
    RemoveImage: calls.unary('RemoveImage', async (_, request) => {
      await api.removeImage(requiredImage(request.image, 'image').image);
      return {};
    }),
    ImageFsInfo: calls.unary('ImageFsInfo', async () => imageFsInfo(await api.imageFsInfo())),
  } satisfies WithBytes<ImageServiceHandlers, 'StreamImages'>;
}
