import { UmiakError } from '#base/errors.ts';
import type { KeyedLock } from '#base/keyed-lock.ts';
import type { LocalEngine } from '#engine/index.ts';
import type { DockerContainer, DockerData, Networks, Supervision, Volumes } from '../rooms.ts';
import { toStartError } from './failures.ts';
import { containerOf, validateSignal } from './validate.ts';

export const SIGKILL = 9;
const DEFAULT_STOP_SECONDS = 10;
/** Whose namespaces a container may join, and docker's words when that one does not run. */
const JOINS = [
  ['NetworkMode', 'network', 'Conflict', (id: string) => `cannot join network of a non running container: ${id}`],
  ['IpcMode', 'IPC', 'Conflict', (id: string) => `failed to join IPC namespace: container ${id} is not running`],
  ['PidMode', 'PID', 'InternalError', (id: string) => `failed to join PID namespace: container ${id} is not running`],
] as const;
/** As long as a timer lasts. */
const ENDLESS_MS = 2 ** 31 - 1;

/** What runs need of the room that has the containers. */
export interface ContainerRunsOptions {
  engine: LocalEngine;
  rooms: () => { networks: Networks; volumes: Volumes; supervision?: Supervision | undefined };
  /** @throws NotFound */
  find: (id: string) => DockerContainer;
  change: (id: string, change: (data: DockerData) => DockerData) => Promise<DockerContainer>;
  isRemoving: (id: string) => boolean;
  /** Takes a container away that does not run. */
  discard: (id: string, anonymous: boolean) => Promise<void>;
  tell: (container: DockerContainer, action: string, more?: Record<string, string>) => void;
  /** One thing at a time to each container. */
  locks: KeyedLock;
}

/** How long to be patient, and with which signal in place of its own. */
export interface StopOptions {
  seconds?: number | undefined;
  signal?: string | undefined;
}

/** The runs of docker's containers: begun with all that belongs to them, ended, and what they had given back. */
export class ContainerRuns {
  readonly #engine: LocalEngine;
  readonly #options: ContainerRunsOptions;
  readonly #locks: KeyedLock;
  /** How many restarts are between their stop and their start: `--rm` waits for all. */
  readonly #restarting = new Map<string, number>();

  constructor(options: ContainerRunsOptions) {
    this.#options = options;
    this.#engine = options.engine;
    this.#locks = options.locks;
  }

  /** Resolves false when it runs already. */
  async start(id: string, why: 'asked' | 'policy' = 'asked', isWanted: () => boolean = () => true): Promise<boolean> {
    return this.#locks.run(id, async () => {
      const container = this.#options.find(id);
      if (container.engine.isPaused) throw new UmiakError('Conflict', 'cannot start a paused container, try unpause instead');
      if (container.engine.state === 'running' || !isWanted()) return false;
      if (this.#options.isRemoving(id)) throw new UmiakError('Conflict', 'container is marked for removal and cannot be started');
      if (container.owner !== 'docker') {
        await this.#engine.startContainer(id);
        return true;
      }
      await this.#run(container, why);
      return true;
    });
  }

  async #run(container: DockerContainer, why: 'asked' | 'policy'): Promise<void> {
    const { id, sandboxId, data } = container;
    const { volumes, networks, supervision } = this.#options.rooms();
    try {
      this.#requireJoined(container);
      if (why === 'asked') await supervision?.starting(container);
      await volumes.mount(id, data.mounts);
      await this.#engine.startSandbox(sandboxId);
      await networks.connectAll(this.#options.find(id));
      await this.#engine.startContainer(id);
    } catch (error) {
      await this.release(this.#options.find(id));
      const { data: asked } = this.#options.find(id);
      if (asked.hostConfig.AutoRemove) await this.#options.discard(id, true);
      throw toStartError(error, data.path);
    }
  }

  /** @throws Conflict, BadRequest, InternalError in docker's words when one whose namespaces it joins does not run, or does not share them */
  #requireJoined({ data: { hostConfig } }: DockerContainer): void {
    for (const [mode, what, reason, refusal] of JOINS) {
      const other = containerOf(hostConfig[mode]);
      if (other === undefined) continue;
      const { id, engine, data } = this.#options.find(other);
      if (engine.state !== 'running') throw new UmiakError(reason, refusal(id));
      if (what === 'IPC' && ['private', 'none', ''].includes(data.hostConfig.IpcMode))
        throw new UmiakError(
          'BadRequest',
          `failed to join IPC namespace: container ${id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
        );
    }
  }

  /** Gives back what a run had: networks, namespaces, file systems of volumes. */
  async release(container: DockerContainer): Promise<void> {
    const { volumes, networks } = this.#options.rooms();
    await networks.disconnectAll(container); // also where somebody else stopped the sandbox
    await this.#engine.stopSandbox(container.sandboxId);
    await volumes.unmount(container.id, container.data.mounts);
  }

  /** After the end of a run. Twice is as good as once. */
  async settle(id: string): Promise<void> {
    await this.#locks.run(id, async () => {
      const found = this.#engine.container(id);
      if (!found || found.state === 'running' || found.owner !== 'docker') return;
      const container = this.#options.find(id);
      const { AutoRemove } = container.data.hostConfig;
      const isKept = this.#options.isRemoving(id) || this.#restarting.has(id);
      const goes = AutoRemove && found.state === 'exited' && !isKept;
      if (goes && container.data.mounts.length === 0) return await this.#vanish(container);
      await this.release(container);
      if (goes) await this.#options.discard(id, true);
    });
  }

  /** What others may wait for (ports, addresses, names of its networks) is free before it is gone; its namespaces go beside its files. */
  async #vanish(container: DockerContainer): Promise<void> {
    if (container.sandbox?.state === 'ready') await this.#options.rooms().networks.disconnectAll(container);
    await Promise.all([this.#engine.stopSandbox(container.sandboxId), this.#options.discard(container.id, true)]);
  }

  /** Signal, patience, force. Resolves false when it does not run. */
  async stop(id: string, { seconds, signal }: StopOptions = {}): Promise<boolean> {
    if (signal) validateSignal(signal);
    const stopping = async () => {
      const found = this.#options.find(id);
      if (found.owner === 'docker') await this.#options.rooms().supervision?.stopping(found);
    };
    const wasRestarting = this.#isRestarting(this.#options.find(id));
    await stopping(); // a restart that waits begins no more
    await this.#settled(id); // a start under way comes to its end first
    await stopping(); // it may have been a person's, and begun to count anew
    const container = this.#options.find(id);
    const { data, engine: facts } = container;
    if (facts.state !== 'running') {
      if (wasRestarting) this.#options.tell(container, 'stop');
      return wasRestarting;
    }
    const patience = seconds ?? data.config.StopTimeout ?? DEFAULT_STOP_SECONDS;
    const graceMs = patience < 0 ? ENDLESS_MS : Math.min(patience * 1000, ENDLESS_MS);
    const sent = validateSignal(signal ?? facts.stopSignal ?? 'SIGTERM');
    this.#options.tell(container, 'kill', { signal: String(graceMs === 0 ? SIGKILL : sent) });
    await this.#engine.stopContainer(id, { graceMs, ...(signal ? { signal } : {}) });
    await this.#settled(id);
    this.#options.tell(container, 'stop');
    return true;
  }

  #isRestarting(container: DockerContainer): boolean {
    return this.#options.rooms().supervision?.isRestarting(container) ?? false;
  }

  /** Resolves when what followed a run's end is done. */
  async #settled(id: string): Promise<void> {
    await this.#locks.run(id, () => {});
  }

  async restart(id: string, options: StopOptions = {}): Promise<void> {
    const container = this.#options.find(id);
    this.#restarting.set(id, (this.#restarting.get(id) ?? 0) + 1);
    try {
      await this.stop(id, options);
      await this.start(id);
    } finally {
      const others = (this.#restarting.get(id) ?? 1) - 1;
      if (others > 0) this.#restarting.set(id, others);
      else {
        this.#restarting.delete(id);
        await this.settle(id); // it may not run now
      }
    }
    this.#options.tell(container, 'restart');
  }

  /** `calledAs`: how the client named it, for docker's words. @throws Conflict in them when it does not run */
  async kill(id: string, signal = 'SIGKILL', calledAs = id): Promise<void> {
    const container = this.#options.find(id);
    const { engine: facts, owner } = container;
    const number = validateSignal(signal || 'SIGKILL');
    const wasRestarting = this.#isRestarting(container);
    if (facts.state !== 'running' && !wasRestarting)
      throw new UmiakError('Conflict', `cannot kill container: ${calledAs}: container ${id} is not running`);
    const isEnd = number === SIGKILL || number === validateSignal(facts.stopSignal ?? 'SIGTERM');
    if ((isEnd || wasRestarting) && owner === 'docker') await this.#options.rooms().supervision?.stopping(container);
    if (wasRestarting) {
      await this.#settled(id); // a start under way comes to its end first
      if (this.#options.find(id).engine.state !== 'running') return;
    }
    await this.#engine.killContainer(id, String(number));
    this.#options.tell(container, 'kill', { signal: String(number) });
    if (number === SIGKILL) {
      await this.#engine.stopContainer(id, { graceMs: 0 });
      await this.#settled(id);
    } else if (isEnd && facts.isPaused) await this.unpause(id); // it hears then
  }

  async pause(id: string): Promise<void> {
    const container = this.#options.find(id);
    const { engine: facts } = container;
    if (this.#isRestarting(container))
      throw new UmiakError('Conflict', `Container ${id} is restarting, wait until the container is running`);
    if (facts.state !== 'running') throw new UmiakError('Conflict', `container ${id} is not running`);
    if (facts.isPaused) throw new UmiakError('Conflict', `Container ${id} is already paused`);
    await this.#engine.pauseContainer(id);
    this.#options.tell(this.#options.find(id), 'pause');
  }

  async unpause(id: string): Promise<void> {
    if (!this.#options.find(id).engine.isPaused) throw new UmiakError('Conflict', `Container ${id} is not paused`);
    await this.#engine.unpauseContainer(id);
    this.#options.tell(this.#options.find(id), 'unpause');
  }
}
