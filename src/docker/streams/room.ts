import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import type { Engine } from '#engine/index.ts';
import type { ContainerLookup, DockerContainer, Events } from '../rooms.ts';

/** What the streams room is made of. */
export interface StreamsRoom {
  engine: Pick<
    Engine,
    'attach' | 'checkExecUser' | 'container' | 'containers' | 'exec' | 'logs' | 'resizeTerminal' | 'rotateLog' | 'subscribe'
  >;
  containers: Pick<ContainerLookup, 'find' | 'all'>;
  events: Events;
  /** Whether it has ended and its restart policy is about to start it. */
  isRestarting?: ((id: string) => boolean) | undefined;
  clock: Clock;
  log: Log;
  /** Journald's, if it is not where it is everywhere. */
  journalSocket?: string | undefined;
}

/** Tells what happened to a container, in docker's form. */
export function emitOf(
  { events }: Pick<StreamsRoom, 'events'>,
  container: DockerContainer,
  action: string,
  more: Record<string, string> = {},
): void {
  const { id, name, data } = container;
  events.emit({ type: 'container', action, id, attributes: { ...data.config.Labels, ...more, image: data.image, name } });
}

export function isPaused({ engine }: DockerContainer): boolean {
  return engine.isPaused ?? false;
}

/** @throws Conflict in docker's words for a container in which nothing can be run now */
export function requireActive(room: Pick<StreamsRoom, 'isRestarting'>, container: DockerContainer, what: string): void {
  const { id, engine } = container;
  if (room.isRestarting?.(id)) throw conflict(`Container ${id} is restarting, wait until the container is running`);
  if (engine.state !== 'running') throw conflict(`container ${id} is not running`);
  if (isPaused(container)) throw conflict(`container ${id} is paused, unpause the container before ${what}`);
}

export function conflict(message: string): UmiakError {
  return new UmiakError('Conflict', message);
}
