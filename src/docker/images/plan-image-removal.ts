import { UmiakError } from '#base/errors.ts';
import type { ImageRecord } from '#images/index.ts';

/** A container that was made of the image. */
export interface ImageUser {
  id: string;
  isRunning: boolean;
}

export interface ImageRemoval {
  /** As the person gave it. */
  reference: string;
  image: Pick<ImageRecord, 'id' | 'repoTags' | 'repoDigests'>;
  users: readonly ImageUser[];
  force: boolean;
}

/**
 * What docker refuses of `docker rmi`, in its words: the last name of an image that a container has, an id with names in several repositories, an id
 * that a container has. Pure. @throws Conflict
 */
export function checkImageRemoval({ reference, image, users, force }: ImageRemoval): void {
  const { id, repoTags } = image;
  const refuse = (why: string) => new UmiakError('Conflict', `conflict: unable to ${why}`, { details: { kind: 'image', name: reference } });
  const short = shortOf(id);
  const running = users.find(({ isRunning }) => isRunning);
  const user = running ?? users[0];
  if (!isIdOf(reference, id)) {
    if (user && !force && repoTags.length <= 1)
      throw refuse(
        `remove repository reference ${JSON.stringify(reference)} (must force) - container ${user.id.slice(0, 12)} is using its referenced image ${short}`,
      );
    return;
  }
  if (running) throw refuse(`delete ${short} (cannot be forced) - image is being used by running container ${running.id.slice(0, 12)}`);
  if (force) return;
  const repositories = new Set(repoTags.map(name => name.slice(0, name.lastIndexOf(':'))));
  if (repositories.size > 1) throw refuse(`delete ${short} (must be forced) - image is referenced in multiple repositories`);
  if (user) throw refuse(`delete ${short} (must be forced) - image is being used by stopped container ${user.id.slice(0, 12)}`);
}

/** Whether a reference is an id, or the beginning of one, and no name. Pure. */
export function isIdOf(reference: string, id: string): boolean {
  const hex = reference.startsWith('sha256:') ? reference.slice('sha256:'.length) : reference;
  return /^[0-9a-f]{4,64}$/.test(hex) && id.slice('sha256:'.length).startsWith(hex);
}

function shortOf(id: string): string {
  return id.slice('sha256:'.length, 'sha256:'.length + 12);
}
