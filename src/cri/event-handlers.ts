import type { EngineEvent } from '#engine/engine.ts';
import type { CriContext, RuntimeHandlers } from './context.ts';
import { EventQueue } from './event-queue.ts';
import { toContainerStatus, toNanoseconds, toPodSandboxStatus } from './forms.ts';
import type { ContainerEventResponse, ContainerEventType } from './types.gen.ts';

const CONTAINER_EVENTS: Record<Extract<EngineEvent, { type: 'container' }>['action'], ContainerEventType> = {
  created: 'CONTAINER_CREATED_EVENT',
  started: 'CONTAINER_STARTED_EVENT',
  exited: 'CONTAINER_STOPPED_EVENT',
  removed: 'CONTAINER_DELETED_EVENT',
};

/** A sandbox's events bear its id in the container's place; it is ready as soon as it is there. */
const SANDBOX_EVENTS: Record<Extract<EngineEvent, { type: 'sandbox' }>['action'], ContainerEventType[]> = {
  created: ['CONTAINER_CREATED_EVENT', 'CONTAINER_STARTED_EVENT'],
  stopped: ['CONTAINER_STOPPED_EVENT'],
  removed: ['CONTAINER_DELETED_EVENT'],
};

type Source = Pick<CriContext, 'engine' | 'scope' | 'clock'>;

/** `GetContainerEvents`: a listener at the engine for each reader, and none without. */
export function eventHandlers(context: CriContext): RuntimeHandlers {
  return {
    async *GetContainerEvents(_request, { signal }) {
      const queue = new EventQueue<ContainerEventResponse>();
      using _subscription = context.engine.subscribe(event => {
        for (const each of toEvents(context, event)) queue.push(each);
      });
      const end = () => queue.end();
      signal.addEventListener('abort', end, { once: true });
      try {
        if (!signal.aborted) yield* queue;
      } finally {
        signal.removeEventListener('abort', end);
      }
    },
  };
}

/** What a client of CRI is told of an event of the engine: with the sandbox and its containers as they are now, as far as they still are. */
export function toEvents({ engine, scope, clock }: Source, event: EngineEvent): ContainerEventResponse[] {
  const [id, sandboxId, owner, types] =
    event.type === 'sandbox'
      ? [event.sandbox.id, event.sandbox.id, event.sandbox.config.owner, SANDBOX_EVENTS[event.action]]
      : [event.container.id, event.container.config.sandboxId, event.container.owner, [CONTAINER_EVENTS[event.action]]];
  if (scope === 'cri' && owner !== 'cri') return [];
  const sandbox = engine.sandbox(sandboxId);
  const statuses = engine.containers({ sandboxId }).map(container => toContainerStatus(container));
  const createdAt = toNanoseconds(clock.now());
  return types.map(containerEventType => ({
    containerId: id,
    containerEventType,
    createdAt,
    podSandboxStatus: sandbox && toPodSandboxStatus(sandbox),
    containersStatuses: statuses,
  }));
}
