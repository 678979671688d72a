import type { ImageRecord } from '#images/image-store.ts';
import type { Image } from './types.gen.ts';

/** An image in CRI's words; its user is a number or a name, without the group. Pure. */
export function toImage({ id, repoTags, repoDigests, sizeBytes, config, isPinned }: ImageRecord): Image {
  const [user = ''] = (config.config?.User ?? '').split(':');
  const isNumber = /^\d+$/.test(user);
  return {
    id,
    repoTags,
    repoDigests,
    size: sizeBytes,
    ...(user === '' ? {} : isNumber ? { uid: { value: Number(user) } } : { username: user }),
    spec: { image: id },
    pinned: isPinned,
  };
}
