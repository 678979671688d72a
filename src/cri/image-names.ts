import { isUmiakError } from '#base/errors.ts';
import type { CriContext } from './context.ts';
import type { ImageNames } from './forms.ts';

/** What an image is called now; nothing when it is gone. */
export async function imageNamesOf({ images }: Pick<CriContext, 'images'>, imageId: string): Promise<ImageNames> {
  try {
    const { repoTags, repoDigests } = await images.inspect(imageId);
    return { tag: repoTags[0], digest: repoDigests[0] };
  } catch (error) {
    if (isUmiakError(error, 'NotFound')) return {};
    throw error;
  }
}
