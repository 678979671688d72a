import type { Container, Resources, Sandbox } from '#engine/engine.ts';
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
  /** Verdict of a running container's startup probe, once its postStart hook is over; undefined: none yet. */
  startupPassed: (containerId: string) => boolean | undefined;
  livenessFailed: (containerId: string) => boolean;
  /** What a container's control group is to say now. */
  resources?: (container: ContainerSpec) => Resources;
  /** The node has given it up (`DeadlineExceeded`, rejected): it ends as Failed. */
  isGivenUp?: boolean;
}

/** Steps are independent of each other: they may be taken side by side. */
export type PodAction =
  | { do: 'create-sandbox'; attempt: number }
  /** Frees network and processes; the records stay for logs and statuses. */
  | { do: 'stop-sandbox'; sandboxId: string }
  | { do: 'remove-sandbox'; sandboxId: string }
  /** `replaces`: a half-made instance to be removed first. */
  | { do: 'start'; container: ContainerSpec; sandboxId: string; attempt: number; replaces?: string }
  /** `message` is for people; `graceSeconds` where it is not the pod's own. */
  | { do: 'kill'; containerId: string; name: string; message: string; graceSeconds?: number }
  /** Its limits were changed while it runs. */
  | { do: 'resize'; containerId: string; name: string; resources: Resources }
  /** Ends all that runs: main containers, then sidecars in reverse order. */
  | { do: 'stop-containers' }
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
  const phase = phaseOf(picture);
  const isRunning = containers.some(({ state }) => state === 'running');
  const done = (actions: PodAction[]): PodPlan => ({ actions, phase, backingOff: new Map() });
  if (phase === 'Succeeded' || phase === 'Failed') return done(isRunning ? [{ do: 'stop-containers' }] : stopSandboxes(sandboxes));
  const tidied = [...stopSandboxes(sandboxes.slice(1)), ...removeOldInstances(picture), ...removeOldSandboxes(picture)];
  if (sandbox?.state === 'ready') return { ...planContainers(picture, sandbox, tidied), phase };
  if (isRunning) return done([...tidied, { do: 'stop-containers' }]);
  return done([...tidied, { do: 'create-sandbox', attempt: (sandbox?.config.metadata.attempt ?? -1) + 1 }]);
}

function stopSandboxes(sandboxes: readonly Sandbox[]): PodAction[] {
  return sandboxes.filter(({ state }) => state === 'ready').map(({ id }) => ({ do: 'stop-sandbox' as const, sandboxId: id }));
}

/** Init containers one after another, sidecars among them staying up, then all main ones together; from then on sidecars beside them. */
function planContainers(picture: PodPicture, sandbox: Sandbox, actions: PodAction[]): Omit<PodPlan, 'phase'> {
  const { pod } = picture;
  const backingOff = new Map<string, number>();
  const run = (container: ContainerSpec, policy: RestartPolicy) => planContainer(picture, sandbox, container, policy, actions, backingOff);
  const isInitialized = pod.spec.containers.some(({ name }) => newest(picture, name, sandbox.id) !== undefined);
  for (const container of pod.spec.initContainers ?? []) {
    const here = newest(picture, container.name, sandbox.id);
    if (isSidecar(container)) {
      run(container, 'Always');
      if (isInitialized || (here?.state === 'running' && picture.startupPassed(here.id) === true)) continue;
      return finish(picture, actions, backingOff);
    }
    if (isInitialized || hasSucceeded(here)) continue;
    run(container, restartPolicyOf(pod) === 'Never' ? 'Never' : 'OnFailure');
    return finish(picture, actions, backingOff);
  }
  for (const container of pod.spec.containers) run(container, restartPolicyOf(pod));
  // Those that people add to look into a pod run once.
  if (isInitialized) for (const container of ephemeralContainersOf(pod)) run(container, 'Never');
  return finish(picture, actions, backingOff);
}

function finish({ nowMs }: PodPicture, actions: PodAction[], backingOff: Map<string, number>): Omit<PodPlan, 'phase'> {
  if (backingOff.size === 0) return { actions, backingOff };
  return { actions, backingOff, againInMs: Math.max(0, Math.min(...backingOff.values()) - nowMs) };
}

type RestartPolicy = 'Always' | 'OnFailure' | 'Never';

function planContainer(
  picture: PodPicture,
  sandbox: Sandbox,
  container: ContainerSpec,
  policy: RestartPolicy,
  actions: PodAction[],
  backingOff: Map<string, number>,
): void {
  const last = newest(picture, container.name);
  const isHere = last?.config.sandboxId === sandbox.id;
  const start = { do: 'start' as const, container, sandboxId: sandbox.id };
  if (last?.state === 'running') {
    const change = isHere && (planKill(picture, container, last, policy) ?? planResize(picture, container, last));
    if (change) actions.push(change);
    return;
  }
  if (last?.state === 'created') {
    actions.push({ ...start, attempt: last.config.metadata.attempt, replaces: last.id });
    return;
  }
  const isInit = picture.pod.spec.initContainers?.includes(container) === true;
  // What ended before the pod's sandbox was made anew counts for main containers; init containers run again.
  if (last && (isHere || !isInit) && !mayRestart(last, policy)) return;
  const dueAt = isHere ? restartDueAt(picture, container.name) : picture.nowMs;
  if (dueAt > picture.nowMs) backingOff.set(container.name, dueAt);
  else actions.push({ ...start, attempt: last ? last.config.metadata.attempt + 1 : 0 });
}

/** Why a running container must end, in the kubelet's words. */
function planKill(picture: PodPicture, container: ContainerSpec, { id, config }: Container, policy: RestartPolicy): PodAction | undefined {
  const { name, startupProbe, livenessProbe } = container;
  const kill = (why: string, graceSeconds?: number): PodAction => ({
    do: 'kill',
    containerId: id,
    name,
    message: `Container ${name} ${why}${policy === 'Never' ? '' : ', will be restarted'}`,
    ...(graceSeconds === undefined ? {} : { graceSeconds }),
  });
  const image = config.annotations?.[SPEC_IMAGE];
  if (image !== undefined && image !== container.image) return kill('definition changed');
  if (picture.startupPassed(id) === false) return kill('failed startup probe', startupProbe?.terminationGracePeriodSeconds);
  if (picture.livenessFailed(id)) return kill('failed liveness probe', livenessProbe?.terminationGracePeriodSeconds);
  return undefined;
}

const SIZES = { cpu: ['cpuShares', 'cpuQuotaUs'], memory: ['memoryLimitBytes'] } as const;

/** Which resources a running container has other than it is to have. Pure. */
export function changedSizes(wanted: Resources, has: Resources | undefined): (keyof typeof SIZES)[] {
  return (['cpu', 'memory'] as const).filter(resource =>
    SIZES[resource].some(key => wanted[key] !== undefined && wanted[key] !== has?.[key]),
  );
}

/** A running container whose requests or limits were changed gets them at once, or a new instance where its policy asks for one. */
function planResize({ resources }: PodPicture, container: ContainerSpec, { id, config }: Container): PodAction | undefined {
  const wanted = resources?.(container);
  if (!wanted) return undefined;
  const changed = changedSizes(wanted, config.resources);
  if (changed.length === 0) return undefined;
  const { name, resizePolicy = [] } = container;
  const restarts = resizePolicy.some(
    ({ resourceName, restartPolicy }) => restartPolicy === 'RestartContainer' && changed.some(resource => resource === resourceName),
  );
  if (!restarts) return { do: 'resize', containerId: id, name, resources: wanted };
  return { do: 'kill', containerId: id, name, message: `Container ${name} resize requires restart, will be restarted` };
}

function mayRestart(container: Container, policy: RestartPolicy): boolean {
  return policy === 'Always' || (policy === 'OnFailure' && container.exitCode !== 0);
}

function hasSucceeded(container: Container | undefined): boolean {
  return container?.state === 'exited' && container.exitCode === 0;
}

/** 10 s doubling to 5 min after the last exit; forgotten once an instance ran for 10 minutes. The first restart comes at once. */
export function restartDueAt({ containers, nowMs }: Pick<PodPicture, 'containers' | 'nowMs'>, name: string): number {
  const last = instancesOf(containers, name)[0];
  // An end that is still to come: the machine's time was set back, nobody knows by how much.
  if (!last?.finishedAtMs || last.finishedAtMs > nowMs) return 0;
  const count = restartsInARow(last);
  if (count === 0) return last.finishedAtMs;
  return last.finishedAtMs + Math.min(FIRST_BACKOFF_MS * 2 ** (count - 1), LAST_BACKOFF_MS);
}

/** Annotation on the engine's record: restarts in a row before this instance, for the back-off. */
export const BACKOFF_COUNT = 'umiak.io/restarts-in-a-row';

/** Annotation on the engine's record: the image as the spec named it when the instance was made. */
export const SPEC_IMAGE = 'umiak.io/spec-image';

/** The value of `BACKOFF_COUNT` for the next instance of `name`. */
export function nextBackoffCount(containers: readonly Container[], name: string): number {
  const last = instancesOf(containers, name)[0];
  return last?.finishedAtMs ? restartsInARow(last) + 1 : 0;
}

function restartsInARow({ config, startedAtMs, finishedAtMs = 0 }: Container): number {
  const ranMs = finishedAtMs - (startedAtMs ?? finishedAtMs);
  return ranMs >= BACKOFF_RESET_MS ? 0 : Number(config.annotations?.[BACKOFF_COUNT] ?? config.metadata.attempt);
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
  return allContainersOf(pod).flatMap(({ name }) =>
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

/** Init containers first, as the spec has them, ephemeral ones last. */
export function allContainersOf(pod: Pod): ContainerSpec[] {
  return [...(pod.spec.initContainers ?? []), ...pod.spec.containers, ...ephemeralContainersOf(pod)];
}

/** The container of that name, of whatever kind. */
export function specOf(pod: Pod, name: string): ContainerSpec | undefined {
  return allContainersOf(pod).find(container => container.name === name);
}

/** They have all that containers have, though less may be set. */
export function ephemeralContainersOf({ spec }: Pod): (ContainerSpec & { targetContainerName?: string | undefined })[] {
  return spec.ephemeralContainers ?? [];
}

/** An init container that is always restarted and stays up beside the main ones. */
export function isSidecar(container: ContainerSpec): boolean {
  return container.restartPolicy === 'Always';
}

export function restartPolicyOf({ spec }: Pod): RestartPolicy {
  return spec.restartPolicy === 'Never' || spec.restartPolicy === 'OnFailure' ? spec.restartPolicy : 'Always';
}

/** Where the pod is in its life, from its containers' last states; once the API has been told of its end, that stays. */
export function phaseOf({ pod, containers, isGivenUp }: Pick<PodPicture, 'pod' | 'containers' | 'isGivenUp'>): PodPlan['phase'] {
  const said = pod.status?.phase;
  if (said === 'Succeeded' || said === 'Failed') return said;
  if (isGivenUp) return 'Failed';
  const policy = restartPolicyOf(pod);
  for (const container of pod.spec.initContainers ?? []) {
    if (isSidecar(container)) continue;
    const instance = instancesOf(containers, container.name)[0];
    if (hasSucceeded(instance)) continue;
    if (instance?.state === 'exited' && policy === 'Never') return 'Failed';
    return mainStarted(pod, containers) ? 'Running' : 'Pending';
  }
  const mains = pod.spec.containers.map(({ name }) => instancesOf(containers, name).find(({ state }) => state !== 'created'));
  if (mains.includes(undefined)) return 'Pending';
  if (mains.some(instance => instance?.state === 'running') || policy === 'Always') return 'Running';
  if (mains.every(hasSucceeded)) return 'Succeeded';
  return policy === 'Never' ? 'Failed' : 'Running';
}

/** How a pod has ended whose containers will not be started again. */
export function endOf({ spec, status }: Pod, containers: readonly Container[]): 'Succeeded' | 'Failed' {
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return status.phase;
  return spec.containers.every(({ name }) => instancesOf(containers, name)[0]?.exitCode === 0) ? 'Succeeded' : 'Failed';
}

function mainStarted({ spec }: Pod, containers: readonly Container[]): boolean {
  return spec.containers.some(({ name }) => instancesOf(containers, name).some(({ startedAtMs }) => startedAtMs !== undefined));
}
