import { isUmiakError } from '#base/errors.ts';
import type { ImageRecord } from '#images/image-store.ts';
import type { CriContext, ImageHandlers } from './context.ts';
import { toImage } from './image-forms.ts';
import { inPieces } from './pieces.ts';
import { planAuth } from './plan-auth.ts';
import { requiredField } from './refuse.ts';
import type { ImageFilter, ImageSpec } from './types.gen.ts';
import { toInfo } from './verbose.ts';

/** `ImageService` but for what disks say. */
export function imageHandlers(context: CriContext): ImageHandlers {
  const { images } = context;
  const find = async (spec: ImageSpec | undefined): Promise<ImageRecord | undefined> => {
    const { image = '' } = spec ?? {};
    if (image === '') throw requiredField('image.image');
    return await images.inspect(image).catch(error => {
      if (isUmiakError(error, 'NotFound')) return undefined;
      throw error;
    });
  };
  const list = async (filter: ImageFilter | undefined) => {
    if (!filter?.image?.image) return await images.list();
    const found = await find(filter.image);
    return found ? [found] : [];
  };
  return {
    async ListImages({ filter }) {
      return { images: (await list(filter)).map(toImage) };
    },

    async *StreamImages({ filter }) {
      for (const piece of inPieces(await list(filter))) yield { images: piece.map(toImage) };
    },

    async ImageStatus({ image, verbose = false }) {
      const found = await find(image);
      if (!found) return {};
      return { image: toImage(found), ...(verbose ? { info: toInfo({ chainID: '', imageSpec: found.config }) } : {}) };
    },

    async PullImage({ image, auth: config }, { signal }) {
      const reference = image?.image ?? '';
      if (reference === '') throw requiredField('image.image');
      const auth = planAuth(reference, config);
      const { id } = await images.pull(reference, { signal, ...(auth ? { auth } : {}) });
      return { imageRef: id };
    },

    async RemoveImage({ image }) {
      const found = await find(image);
      // All of its names: whoever removes an image over CRI means the image.
      // Several at once are one.
      if (found)
        await images.remove(found.id, { force: true }).catch(error => {
          if (!isUmiakError(error, 'NotFound')) throw error;
        });
      return {};
    },
  };
}
