import type { ImageRecord } from '#images/index.ts';
import type { DockerContext } from '../request.ts';
import type { ImageUser } from './plan-image-removal.ts';

/** Containers that were made of an image or have it mounted, whoever owns them. */
export function usersOf({ containers }: Pick<DockerContext, 'containers'>, imageId: string): ImageUser[] {
  return (containers?.all() ?? [])
    .filter(({ engine }) => engine.imageId === imageId || engine.config.mounts?.some(mount => mount.imageId === imageId))
    .map(({ id, engine }) => ({ id, isRunning: engine.state === 'running' }));
}

/** How many containers each image has. */
export function countUsers({ containers }: Pick<DockerContext, 'containers'>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { engine } of containers?.all() ?? []) counts.set(engine.imageId, (counts.get(engine.imageId) ?? 0) + 1);
  return counts;
}

/** Of each image, the bytes of layers that another has, too. Pure. */
export function sharedSizes(records: readonly Pick<ImageRecord, 'id' | 'blobs'>[]): Map<string, number> {
  const owners = new Map<string, number>();
  for (const { blobs } of records)
    for (const digest of new Set(blobs.map(blob => blob.digest))) owners.set(digest, (owners.get(digest) ?? 0) + 1);
  return new Map(
    records.map(({ id, blobs }) => {
      const shared = blobs.filter(({ digest }) => (owners.get(digest) ?? 0) > 1);
      return [id, shared.reduce((sum, { size }) => sum + size, 0)];
    }),
  );
}
