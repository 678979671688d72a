import type { Container, EngineEvent, Sandbox } from '#engine/engine.ts';
import type { DockerData } from '../rooms.ts';
import type { DockerEvent, Moment } from './event.ts';
import { toMilliseconds } from './event.ts';

/** What events say of a container besides what happened to it. */
export interface ContainerActor {
  /** Without the slash. */
  name: string;
  image: string;
  labels: Readonly<Record<string, string>>;
}

/** What docker's record says of its own containers, and of pods' what the kubelet would have called them. Pure. */
export function describeActor({ owner, config, imageRef }: Container, sandbox: Sandbox | undefined): ContainerActor {
  const data = owner === 'docker' ? (config.ownerData as DockerData | undefined) : undefined;
  if (data) return { name: data.name, image: data.image, labels: data.config.Labels };
  const { name, namespace, uid } = sandbox?.config.metadata ?? { name: '', namespace: '', uid: '' };
  const words = ['k8s', config.metadata.name, name, namespace, uid, config.metadata.attempt];
  return { name: words.join('_'), image: config.imageName ?? imageRef, labels: config.labels ?? {} };
}

/** An event of the engine in docker's words; nothing for what docker has no word for. Pure. */
export function toDockerEvents(event: EngineEvent, describe: (container: Container) => ContainerActor): DockerEvent[] {
  if (event.type !== 'container') return [];
  const { container, action } = event;
  const tell = (word: string, more: Record<string, string> = {}): DockerEvent => {
    const { name, image, labels } = describe(container);
    return { type: 'container', action: word, id: container.id, attributes: { ...labels, ...more, image, name } };
  };
  switch (action) {
    case 'created':
      return [tell('create')];
    case 'started':
      return [tell('start')];
    case 'exited':
      return [...(container.reason === 'OOMKilled' ? [tell('oom')] : []), tell('die', endOf(container))];
    case 'removed':
      return [tell('destroy')];
  }
  return [];
}

function endOf({ exitCode = 0, startedAtMs = 0, finishedAtMs = startedAtMs }: Container): Record<string, string> {
  return { exitCode: String(exitCode), execDuration: String(Math.floor((finishedAtMs - startedAtMs) / 1000)) };
}

/**
 * What happened to containers after the journal's end, while no agent was there to write it, or in the moment one was killed: they were made,
 * were started, ended. In the order in which it happened. Pure.
 */
export function planCatchUp(containers: readonly Container[], last: Moment): EngineEvent[] {
  const lastMs = toMilliseconds(last);
  const steps = containers.flatMap(container => {
    const { createdAtMs, startedAtMs, state } = container;
    const finishedAtMs = state === 'exited' && startedAtMs !== undefined ? container.finishedAtMs : undefined;
    return [
      { atMs: createdAtMs, action: 'created' as const, container },
      { atMs: startedAtMs, action: 'started' as const, container },
      { atMs: finishedAtMs, action: 'exited' as const, container },
    ];
  });
  return steps
    .filter(({ atMs }) => atMs !== undefined && Math.floor(atMs) > lastMs)
    .sort((a, b) => (a.atMs ?? 0) - (b.atMs ?? 0))
    .map(({ action, container }) => ({ type: 'container', action, container }));
}
