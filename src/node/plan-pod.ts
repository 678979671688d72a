import type { Container, Sandbox } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import type { ContainerSpec } from './parts.ts';

/** What the world looks like for one pod. */
export interface PodPicture {
  pod: Pod;
  /** Newest first. */
  sandboxes: readonly Sandbox[];
  /** All containers of all its sandboxes. */
  containers: readonly Container[];
  nowMs: number;
  /** Verdicts of the probes of running containers; undefined: none yet. */
  startupPassed: (containerId: string) => boolean | undefined;
  livenessFailed: (containerId: string) => boolean;
}

export type PodAction =
  | { do: 'create-sandbox'; attempt: number }
  /** Frees network and processes; the records stay for logs and statuses. */
  | { do: 'stop-sandbox'; sandboxId: string }
  | { do: 'remove-sandbox'; sandboxId: string }
  | { do: 'start'; container: ContainerSpec; sandboxId: string; attempt: number }
  | { do: 'kill'; containerId: string; name: string; why: string }
  /** An older dead instance, kept by nothing any more. */
  | { do: 'remove'; containerId: string };

export interface PodPlan {
  actions: PodAction[];
  /** When something becomes due without an event: a restart's back-off. */
  againInMs?: number;
  /** Containers that wait for their back-off, with when it ends. */
  backingOff: ReadonlyMap<string, number>;
  phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
}

const FIRST_BACKOFF_MS = 10_000;
const LAST_BACKOFF_MS = 300_000;
/** A container that ran this long has its back-off forgotten. */
const BACKOFF_RESET_MS = 600_000;

/**
 * The next steps that bring a living pod to what its spec asks for. Pure and level-based: it needs no memory but the engine's records,
 * so that an agent killed anywhere goes on where the world stands.
 */
export function planPod(picture: PodPicture): PodPlan {
  const { sandboxes, containers } = picture;
  const sandbox = sandboxes[0];
  const actions: PodAction[] = [];
  for (const old of sandboxes.slice(1)) if (old.state === 'ready') actions.push({ do: 'stop-sandbox', sandboxId: old.id });
  const phase = phaseOf(picture);
  if (phase === 'Succeeded' || phase === 'Failed') {
    for (const each of containers)
      if (each.state === 'running')
        actions.push({ do: 'kill', containerId: each.id, name: each.config.metadata.name, why: 'the pod has ended' });
    if (sandbox?.state === 'ready' && !containers.some(({ state }) => state === 'running'))
      actions.push({ do: 'stop-sandbox', sandboxId: sandbox.id });
    return { actions, phase, backingOff: new Map() };
  }
  actions.push(...removeOldInstances(picture), ...removeOldSandboxes(picture));
  if (sandbox?.state !== 'ready') {
    for (const each of containers)
      if (each.state === 'running')
        actions.push({ do: 'kill', containerId: each.id, name: each.config.metadata.name, why: 'its sandbox is gone' });
    actions.push({ do: 'create-sandbox', attempt: (sandbox?.config.metadata.attempt ?? -1) + 1 });
    return { actions, phase, backingOff: new Map() };
  }
  return { ...planContainers(picture, sandbox, actions), phase };
}

/** Init containers one after another, sidecars among them staying up, then all main ones together. */
function planContainers(picture: PodPicture, sandbox: Sandbox, actions: PodAction[]): Omit<PodPlan, 'phase'> {
  const { pod } = picture;
  const backingOff = new Map<string, number>();
  const run = (container: ContainerSpec, restart: 'Always' | 'OnFailure' | 'Never') =>
    planContainer(picture, sandbox, container, restart, actions, backingOff);
  for (const container of pod.spec.initContainers ?? []) {
    const here = newest(picture, container.name, sandbox.id);
    if (isSidecar(container)) {
      run(container, 'Always');
      if (here?.state !== 'running' || picture.startupPassed(here.id) !== true) return finish(picture, actions, backingOff);
      continue;
    }
    if (here?.state === 'exited' && here.exitCode === 0) continue;
    run(container, restartPolicyOf(pod) === 'Never' ? 'Never' : 'OnFailure');
    return finish(picture, actions, backingOff);
  }
  for (const container of pod.spec.containers) run(container, restartPolicyOf(pod));
  return finish(picture, actions, backingOff);
}

function finish({ nowMs }: PodPicture, actions: PodAction[], backingOff: Map<string, number>): Omit<PodPlan, 'phase'> {
  if (backingOff.size === 0) return { actions, backingOff };
  return { actions, backingOff, againInMs: Math.max(0, Math.min(...backingOff.values()) - nowMs) };
}

function planContainer(
  picture: PodPicture,
  sandbox: Sandbox,
  container: ContainerSpec,
  restart: 'Always' | 'OnFailure' | 'Never',
  actions: PodAction[],
  backingOff: Map<string, number>,
): void {
  const last = newest(picture, container.name);
  const here = last?.config.sandboxId === sandbox.id ? last : undefined;
  const attempt = last ? last.config.metadata.attempt + 1 : 0;
  if (here?.state === 'created') {
    actions.push(
      { do: 'remove', containerId: here.id },
      { do: 'start', container, sandboxId: sandbox.id, attempt: here.config.metadata.attempt },
    );
    return;
  }
  if (here?.state === 'running') {
    if (picture.startupPassed(here.id) === false)
      actions.push({ do: 'kill', containerId: here.id, name: container.name, why: 'failed its startup probe' });
    else if (picture.livenessFailed(here.id))
      actions.push({ do: 'kill', containerId: here.id, name: container.name, why: 'failed its liveness probe' });
    return;
  }
  if (here && !mayRestart(here, restart)) return;
  const dueAt = here ? restartDueAt(picture, container.name) : picture.nowMs;
  if (dueAt > picture.nowMs) backingOff.set(container.name, dueAt);
  else actions.push({ do: 'start', container, sandboxId: sandbox.id, attempt });
}

function mayRestart(container: Container, restart: 'Always' | 'OnFailure' | 'Never'): boolean {
  return restart === 'Always' || (restart === 'OnFailure' && container.exitCode !== 0);
}

/** 10 s doubling to 5 min after the last exit; forgotten once an instance ran for 10 minutes. The first restart comes at once. */
export function restartDueAt({ containers }: Pick<PodPicture, 'containers'>, name: string): number {
  const last = instancesOf(containers, name)[0];
  if (!last?.finishedAtMs) return 0;
  const ranMs = last.finishedAtMs - (last.startedAtMs ?? last.finishedAtMs);
  const failures = last.config.annotations?.[BACKOFF_COUNT];
  const count = ranMs >= BACKOFF_RESET_MS ? 0 : Number(failures ?? last.config.metadata.attempt);
  if (count === 0) return last.finishedAtMs;
  return last.finishedAtMs + Math.min(FIRST_BACKOFF_MS * 2 ** (count - 1), LAST_BACKOFF_MS);
}

/** Annotation on the engine's record: restarts in a row before this instance, for the back-off. */
export const BACKOFF_COUNT = 'umiak.io/restarts-in-a-row';

/** The value of `BACKOFF_COUNT` for the next instance of `name`. */
export function nextBackoffCount(containers: readonly Container[], name: string): number {
  const last = instancesOf(containers, name)[0];
  if (!last?.finishedAtMs) return 0;
  const ranMs = last.finishedAtMs - (last.startedAtMs ?? last.finishedAtMs);
  return ranMs >= BACKOFF_RESET_MS ? 1 : Number(last.config.annotations?.[BACKOFF_COUNT] ?? last.config.metadata.attempt) + 1;
}

/** All instances of one container of the spec, newest first. */
export function instancesOf(containers: readonly Container[], name: string): Container[] {
  return containers
    .filter(({ config }) => config.metadata.name === name)
    .sort((a, b) => b.config.metadata.attempt - a.config.metadata.attempt || b.createdAtMs - a.createdAtMs);
}

function newest({ containers }: PodPicture, name: string, sandboxId?: string): Container | undefined {
  const last = instancesOf(containers, name)[0];
  return sandboxId === undefined || last?.config.sandboxId === sandboxId ? last : undefined;
}

/** Of each container the last two instances stay: the present one and the one whose logs and end people ask for. */
function removeOldInstances({ pod, containers }: PodPicture): PodAction[] {
  const names = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].map(({ name }) => name);
  return names.flatMap(name =>
    instancesOf(containers, name)
      .slice(2)
      .filter(({ state }) => state !== 'running')
      .map(({ id }) => ({ do: 'remove' as const, containerId: id })),
  );
}

/** Sandboxes from before a reboot go once none of their containers is kept. */
function removeOldSandboxes({ sandboxes, containers }: PodPicture): PodAction[] {
  return sandboxes
    .slice(1)
    .filter(({ id }) => !containers.some(({ config }) => config.sandboxId === id))
    .map(({ id }) => ({ do: 'remove-sandbox' as const, sandboxId: id }));
}

export function isSidecar(container: ContainerSpec): boolean {
  return container.restartPolicy === 'Always';
}

export function restartPolicyOf({ spec }: Pod): 'Always' | 'OnFailure' | 'Never' {
  return spec.restartPolicy === 'Never' || spec.restartPolicy === 'OnFailure' ? spec.restartPolicy : 'Always';
}

/** Where the pod is in its life, from its containers' last states alone. */
export function phaseOf({ pod, containers }: Pick<PodPicture, 'pod' | 'containers'>): PodPlan['phase'] {
  const policy = restartPolicyOf(pod);
  const last = (name: string) => instancesOf(containers, name)[0];
  for (const container of pod.spec.initContainers ?? []) {
    if (isSidecar(container)) continue;
    const instance = last(container.name);
    if (instance?.state === 'exited' && instance.exitCode === 0) continue;
    if (instance?.state === 'exited' && policy === 'Never') return 'Failed';
    return mainStarted(pod, containers) ? 'Running' : 'Pending';
  }
  const mains = pod.spec.containers.map(({ name }) => last(name));
  if (mains.some(instance => instance === undefined || instance.state === 'created'))
    return mains.some(instance => instance?.startedAtMs) ? 'Running' : 'Pending';
  if (mains.some(instance => instance?.state === 'running') || policy === 'Always') return 'Running';
  const failed = mains.some(instance => instance?.exitCode !== 0);
  if (!failed) return 'Succeeded';
  return policy === 'Never' ? 'Failed' : 'Running';
}

function mainStarted({ spec }: Pod, containers: readonly Container[]): boolean {
  return spec.containers.some(({ name }) => instancesOf(containers, name).some(({ startedAtMs }) => startedAtMs !== undefined));
}
