import { isDeepStrictEqual } from 'node:util';
import { messageOf, UmiakError } from '#base/index.ts';
import type { EventRecorder } from '#client/index.ts';
import type { Engine, Resources, Sandbox } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import { planPodResources } from './plan-container-resources.ts';
import type { PodAction } from './plan-pod.ts';
import { resizeMessage } from './plan-resize.ts';
import type { Retries } from './retries.ts';

/** No container's name. */
const POD = '';

export interface PodResizerParts {
  engine: Pick<Engine, 'container' | 'stats' | 'updateResources' | 'updateSandboxResources'>;
  events: Pick<EventRecorder, 'normal' | 'warning'>;
  retries: Retries;
}

/** Brings what one pod was granted into the control groups of its running containers. */
export class PodResizer {
  readonly #parts: PodResizerParts;
  readonly #errors = new Map<string, string>();
  #isUnderWay = false;

  constructor(parts: PodResizerParts) {
    this.#parts = parts;
  }

  /** What keeps a resize from being done. */
  get error(): string | undefined {
    return this.#errors.size > 0 ? [...this.#errors.values()].join('; ') : undefined;
  }

  /** Returns when to try again, if it failed. */
  async resize(pod: Pod, { containerId, name, resources }: PodAction & { do: 'resize' }): Promise<number | undefined> {
    return this.#attempt(pod, name, async () => {
      await this.#checkUse(name, containerId, resources);
      await this.#parts.engine.updateResources(containerId, resources);
    });
  }

  async #attempt(pod: Pod, name: string, work: () => Promise<void>): Promise<number | undefined> {
    const { events, retries } = this.#parts;
    const what = `resize/${name}`;
    const waitMs = retries.waitMs(what);
    if (waitMs !== undefined) return waitMs;
    try {
      await work();
      this.#errors.delete(name);
      retries.succeeded(what);
      return undefined;
    } catch (error) {
      const message = messageOf(error);
      if (this.#errors.get(name) !== message) events.warning(pod, 'ResizeError', resizeMessage('error', pod, message));
      this.#errors.set(name, message);
      return retries.failed(what, error);
    }
  }

  /** Brings what the pod may have as a whole into its own control group, if that says something else. */
  async resizePod(pod: Pod, sandbox: Sandbox | undefined): Promise<number | undefined> {
    const has = sandbox?.state === 'ready' ? sandbox.config.resources : undefined;
    if (!sandbox || !has || !pod.spec.resources) return undefined;
    const wanted = planPodResources(pod);
    if (Object.entries(wanted).every(([key, value]) => isDeepStrictEqual(has[key as keyof Resources], value))) return undefined;
    return this.#attempt(pod, POD, () => this.#parts.engine.updateSandboxResources(sandbox.id, wanted));
  }

  /** @throws `Conflict` for a limit of memory under which the container would be killed at once */
  async #checkUse(name: string, containerId: string, { memoryLimitBytes }: (PodAction & { do: 'resize' })['resources']): Promise<void> {
    const { engine } = this.#parts;
    const before = engine.container(containerId)?.config.resources?.memoryLimitBytes ?? Number.POSITIVE_INFINITY;
    if (memoryLimitBytes === undefined || memoryLimitBytes >= before) return;
    const { memoryUsageBytes } = await engine.stats(containerId);
    if (memoryUsageBytes < memoryLimitBytes) return;
    const figures = `memory limit (${memoryLimitBytes}) below current usage (${memoryUsageBytes})`;
    throw new UmiakError('Conflict', `attempting to set container "${name}" ${figures}`);
  }

  /** Says that a resize is done, once: called at every look with whether one is under way. */
  note(pod: Pod, isUnderWay: boolean): void {
    if (this.#isUnderWay && !isUnderWay) {
      this.#errors.clear();
      this.#parts.events.normal(pod, 'ResizeCompleted', resizeMessage('completed', pod));
    }
    this.#isUnderWay = isUnderWay;
  }
}
