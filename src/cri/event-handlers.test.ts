import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#base/index.ts';
import type { Container, EngineEvent, Sandbox } from '#engine/engine.ts';
import type { GrpcCall } from '#wire/grpc/server.ts';
import type { CriContext } from './context.ts';
import { eventHandlers } from './event-handlers.ts';
import { EventQueue } from './event-queue.ts';
import type { ContainerEventResponse, ContainerStatus } from './types.gen.ts';

const sandbox = (owner: string) =>
  ({ id: `s-${owner}`, state: 'ready', config: { owner, metadata: {} }, createdAtMs: 1 }) as unknown as Sandbox;
const container = (owner: string) =>
  ({ id: `c-${owner}`, owner, state: 'running', config: { sandboxId: `s-${owner}` }, createdAtMs: 1 }) as unknown as Container;

/** An engine with a sandbox and a container of each owner, and its listeners. */
function fakeEngine(listeners: Set<(event: EngineEvent) => void>): CriContext['engine'] {
  const engine = {
    sandbox: (id: string) => (id.startsWith('s-') ? sandbox(id.slice(2)) : undefined),
    containers: ({ sandboxId = '' }) => [container(sandboxId.slice(2))],
    subscribe: (listener: (event: EngineEvent) => void) => {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
  };
  return engine as unknown as CriContext['engine'];
}

const listeners = new Set<(event: EngineEvent) => void>();
const emit = (event: EngineEvent) => {
  for (const listener of listeners) listener(event);
};

function read(scope: CriContext['scope'], signal: AbortSignal): AsyncGenerator<ContainerEventResponse> {
  const images = { inspect: async () => ({ repoTags: ['boat:1'], repoDigests: ['boat@sha256:1'] }) };
  const context = { engine: fakeEngine(listeners), images, scope, clock: new ManualClock(5) } as unknown as CriContext;
  return eventHandlers(context).GetContainerEvents?.({}, { signal } as GrpcCall) as AsyncGenerator<ContainerEventResponse>;
}

test('each reader gets every event, with the sandbox and its containers, until it leaves', async () => {
  const gone = new AbortController();
  const readers = [read('all', gone.signal), read('cri', gone.signal)];
  const firsts = readers.map(reader => reader.next());
  emit({ type: 'sandbox', action: 'created', sandbox: sandbox('node') });
  emit({ type: 'sandbox', action: 'created', sandbox: sandbox('cri') });
  emit({ type: 'container', action: 'exited', container: container('cri') });
  const told = await Promise.all(
    readers.map(async (reader, i) => {
      const all = [(await firsts[i])?.value];
      while (all.length < [5, 3][i]!) all.push((await reader.next()).value);
      return all.map(({ containerId, containerEventType }) => `${containerId} ${containerEventType.split('_')[1]}`);
    }),
  );
  const own = ['s-cri CREATED', 's-cri STARTED', 'c-cri STOPPED'];
  assert.deepEqual(told, [['s-node CREATED', 's-node STARTED', ...own], own]);
  gone.abort();
  assert.deepEqual(await Promise.all(readers.map(async reader => (await reader.next()).done)), [true, true]);
  assert.equal(listeners.size, 0);
});

test('an event bears its time and what the sandbox and containers are', async () => {
  const gone = new AbortController();
  const reader = read('all', gone.signal);
  const first = reader.next();
  emit({ type: 'container', action: 'removed', container: container('node') });
  const { value } = await first;
  assert.equal(value.createdAt, 5_000_000);
  assert.equal(value.podSandboxStatus.state, 'SANDBOX_READY');
  assert.deepEqual(
    value.containersStatuses.map(({ id, state, image, imageRef }: ContainerStatus) => [id, state, image?.image, imageRef]),
    [['c-node', 'CONTAINER_RUNNING', 'boat:1', 'boat@sha256:1']],
  );
  gone.abort();
  await reader.next();
});

test('a reader that lags too far is told to begin anew, and its queue is let go', async () => {
  const queue = new EventQueue<number>(3);
  const reader = queue[Symbol.asyncIterator]();
  for (const i of [1, 2, 3]) queue.push(i);
  assert.equal((await reader.next()).value, 1, 'the three are handed over');
  for (const i of [4, 5, 6, 7, 8]) queue.push(i);
  assert.deepEqual([(await reader.next()).value, (await reader.next()).value], [2, 3]);
  await assert.rejects(reader.next(), { reason: 'TooManyRequests' });
});
