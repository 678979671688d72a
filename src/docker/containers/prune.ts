import { isUmiakError } from '#base/errors.ts';
import type { DockerContainer, Events } from '../rooms.ts';
import type { Containers } from './containers.ts';
import { containerSizes } from './sizes.ts';

/** Removes all that do not run and pass; what can't be removed now stays. */
export async function pruneContainers(
  containers: Containers,
  passes: (container: DockerContainer) => boolean,
  events: Events,
): Promise<{ ContainersDeleted: string[] | null; SpaceReclaimed: number }> {
  const isIdle = (container: DockerContainer) =>
    container.owner === 'docker' && container.engine.state !== 'running' && !containers.isRestarting(container);
  const ids = containers.all().flatMap(container => (isIdle(container) && passes(container) ? [container.id] : []));
  const sizes = await containerSizes(containers.engine, ids);
  const deleted: string[] = [];
  let reclaimed = 0;
  for (const [index, id] of ids.entries()) {
    try {
      await containers.remove(id);
      deleted.push(id);
      reclaimed += sizes[index]?.rw ?? 0;
    } catch (error) {
      if (!isUmiakError(error, 'Conflict') && !isUmiakError(error, 'NotFound')) throw error;
    }
  }
  events.emit({ type: 'container', action: 'prune', id: '', attributes: { reclaimed: String(reclaimed) } });
  return { ContainersDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: reclaimed };
}
