import type { Container, EngineEvent, Sandbox } from '#engine/engine.ts';
import type { CriContext, RuntimeHandlers } from './context.ts';
import { EventQueue } from './event-queue.ts';
import { toContainerStatus, toNanoseconds, toPodSandboxStatus } from './forms.ts';
import { imageNamesOf } from './image-names.ts';
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

type Source = Pick<CriContext, 'engine' | 'images' | 'scope' | 'clock'>;

/** An event with the sandbox and its containers as they were then, as far as they still were. */
interface Happened {
  id: string;
  types: ContainerEventType[];
  atMs: number;
  sandbox: Sandbox | undefined;
  containers: Container[];
}

/** `GetContainerEvents`: a listener at the engine for each reader, and none without. */
export function eventHandlers(context: CriContext): RuntimeHandlers {
  return {
    async *GetContainerEvents(_request, { signal }) {
      const queue = new EventQueue<Happened>();
      using _subscription = context.engine.subscribe(event => {
        const happened = look(context, event);
        if (happened) queue.push(happened);
      });
      const end = () => queue.end();
      signal.addEventListener('abort', end, { once: true });
      try {
        if (!signal.aborted) for await (const happened of queue) yield* await toEvents(context, happened);
      } finally {
        signal.removeEventListener('abort', end);
      }
    },
  };
}

/** Undefined for what a client may not see. */
function look({ engine, scope, clock }: Source, event: EngineEvent): Happened | undefined {
  const [id, sandboxId, owner, types] =
    event.type === 'sandbox'
      ? [event.sandbox.id, event.sandbox.id, event.sandbox.config.owner, SANDBOX_EVENTS[event.action]]
      : [event.container.id, event.container.config.sandboxId, event.container.owner, [CONTAINER_EVENTS[event.action]]];
  if (scope === 'cri' && owner !== 'cri') return undefined;
  return { id, types, atMs: clock.now(), sandbox: engine.sandbox(sandboxId), containers: engine.containers({ sandboxId }) };
}

/** What a client of CRI is told of it; statuses are as `PodSandboxStatus` has them. */
async function toEvents(context: Source, { id, types, atMs, sandbox, containers }: Happened): Promise<ContainerEventResponse[]> {
  const containersStatuses = await Promise.all(
    containers.map(async each => toContainerStatus(each, await imageNamesOf(context, each.imageId))),
  );
  return types.map(containerEventType => ({
    containerId: id,
    containerEventType,
    createdAt: toNanoseconds(atMs),
    podSandboxStatus: sandbox && toPodSandboxStatus(sandbox),
    containersStatuses,
  }));
}
