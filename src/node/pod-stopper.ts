import { type Clock, isUmiakError, type Log } from '#base/index.ts';
import type { EventRecorder } from '#client/index.ts';
import type { Container, Engine } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import type { ContainerSpec, LifecycleHooks, Prober } from './parts.ts';
import { isSidecar, specOf } from './plan-pod.ts';

export interface PodStopperParts {
  engine: Pick<Engine, 'container' | 'stopContainer'>;
  prober: Pick<Prober, 'forget'>;
  events: EventRecorder;
  hooks: Pick<LifecycleHooks, 'preStop'>;
  /** All containers of the pod that there are. */
  containers: () => Container[];
  /** Where hooks reach the pod. */
  address: () => string;
  clock: Clock;
  log: Log;
}

/** What a container has left after a preStop hook that took all the grace. */
const LEAST_GRACE_MS = 2_000;

/** Ends the containers of one pod: each once, with its hook and its grace, in the order of their kinds. */
export class PodStopper {
  readonly #parts: PodStopperParts;
  /** Containers that are being ended. */
  readonly #killing = new Set<string>();
  readonly #preStops = new Map<string, Promise<unknown>>();
  #isStopping = false;

  constructor(parts: PodStopperParts) {
    this.#parts = parts;
  }

  isEnding(containerId: string): boolean {
    return this.#killing.has(containerId);
  }

  /** Ends a running container in the background; its exit comes back as an event. */
  kill(pod: Pod, { containerId, message, graceSeconds }: { containerId: string; message: string; graceSeconds?: number }): void {
    if (this.#killing.has(containerId)) return;
    this.#killing.add(containerId);
    this.#parts.events.normal(pod, 'Killing', message);
    this.#stopContainer(pod, containerId, graceMsOf(pod, graceSeconds))
      .catch(error => this.#parts.log.warn('a container could not be stopped', { container: containerId, error }))
      .finally(() => this.#killing.delete(containerId));
  }

  /** Ends all containers in the background, in their order; the last one's exit comes back as an event. */
  stopAllInBackground(pod: Pod, graceSeconds?: number): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.stopAll(pod, graceMsOf(pod, graceSeconds))
      .catch(error => this.#parts.log.warn('the containers of a pod could not be stopped', { pod: pod.metadata.uid, error }))
      .finally(() => {
        this.#isStopping = false;
      });
  }

  /** Main containers together, then the sidecars in reverse order, all within the grace. */
  async stopAll(pod: Pod, graceMs: number): Promise<void> {
    const { clock, events } = this.#parts;
    const end = clock.monotonic() + graceMs;
    const sidecars = (pod.spec.initContainers ?? []).filter(isSidecar).map(({ name }) => name);
    const stop = async ({ id, config }: Container, withinMs: number) => {
      if (!this.#killing.has(id)) events.normal(pod, 'Killing', `Stopping container ${config.metadata.name}`);
      this.#killing.add(id);
      await this.#stopContainer(pod, id, withinMs).finally(() => this.#killing.delete(id));
    };
    const running = () => this.#parts.containers().filter(({ state }) => state === 'running');
    const mains = running().filter(({ config }) => !sidecars.includes(config.metadata.name));
    await Promise.all(mains.map(each => stop(each, graceMs)));
    for (const name of sidecars.reverse())
      for (const each of running())
        if (each.config.metadata.name === name) await stop(each, Math.max(end - clock.monotonic(), graceMs > 0 ? LEAST_GRACE_MS : 0));
  }

  async #stopContainer(pod: Pod, id: string, graceMs: number): Promise<void> {
    const { engine, prober, clock } = this.#parts;
    const instance = engine.container(id);
    if (instance?.state !== 'running') return;
    prober.forget(id);
    const began = clock.monotonic();
    const container = specOf(pod, instance.config.metadata.name);
    const hasHook = container?.lifecycle?.preStop !== undefined && graceMs > 0;
    if (hasHook) await this.#preStop(pod, container, id, graceMs);
    const leftMs = Math.max(graceMs - (clock.monotonic() - began), hasHook ? LEAST_GRACE_MS : 0);
    try {
      await engine.stopContainer(id, { graceMs: leftMs });
    } catch (error) {
      if (!isUmiakError(error, 'NotFound')) throw error;
    }
  }

  /** Once a container, for whoever ends it; one who has less time waits no longer than that. */
  async #preStop(pod: Pod, container: ContainerSpec, id: string, withinMs: number): Promise<void> {
    const { hooks, events, clock } = this.#parts;
    const address = this.#parts.address();
    const running =
      this.#preStops.get(id) ??
      hooks
        .preStop(pod, container, id, address, withinMs)
        .then(({ failed }) => failed && events.warning(pod, 'FailedPreStopHook', failed))
        .finally(() => this.#preStops.delete(id));
    this.#preStops.set(id, running);
    const patience = Promise.withResolvers<void>();
    using _ = clock.after(withinMs, patience.resolve);
    await Promise.race([running, patience.promise]);
  }
}

function graceMsOf({ spec }: Pod, seconds?: number): number {
  return Number(seconds ?? spec.terminationGracePeriodSeconds ?? 30) * 1000;
}
