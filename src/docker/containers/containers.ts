import { isUmiakError, UmiakError } from '#base/errors.ts';
import { newContainerId } from '#base/ids.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import type { Log } from '#base/log.ts';
import type { Container, EngineEvent, LocalEngine } from '#engine/index.ts';
import type { ImageStore } from '#images/image-store.ts';
import { describeActor } from '../events/engine-events.ts';
import type { ContainerLookup, DockerContainer, DockerData, Events, Networks, Streams, Supervision, Volumes } from '../rooms.ts';
import type { ContainerMount, VolumeUser, VolumeUsers } from '../volumes/container-mounts.ts';
import type { CreateBody } from './config.ts';
import { ContainerRuns, SIGKILL, type StopOptions } from './container-runs.ts';
import { createContainer } from './creation.ts';
import { exitCodeOf } from './failures.ts';
import type { Health } from './forms.ts';
import { findLinked, parseLink } from './links.ts';
import { type MachineSupport, readMachineSupport } from './machine-support.ts';
import { NameIndex, parseName } from './names.ts';
import { toForeignData } from './pod-containers.ts';
import { type Status, statusOf } from './state-words.ts';
import { type WaitCondition, Waits } from './waits.ts';

export interface ContainersOptions {
  engine: LocalEngine;
  images: ImageStore;
  events: Events;
  log: Log;
}

/** The rooms that containers need; they need the containers too, so they come after. */
export interface ContainerRooms {
  networks: Networks;
  volumes: Volumes;
  supervision?: Supervision | undefined;
  streams?: Streams | undefined;
}

/**
 * Docker's containers: one engine sandbox on demand and one engine container each, with docker's data in the engine's record. Nothing
 * is kept here but an index of names and who waits: what is known after a kill is what the engine knows. One thing at a time to each.
 */
export class Containers implements ContainerLookup, VolumeUsers, AsyncDisposable {
  readonly engine: LocalEngine;
  readonly runs: ContainerRuns;
  readonly #images: ImageStore;
  readonly #events: Events;
  readonly #log: Log;
  readonly #names = new NameIndex();
  readonly #waits = new Waits();
  readonly #locks = new KeyedLock();
  readonly #changes = new KeyedLock();
  readonly #removing = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();
  readonly #subscription: Disposable;
  #support: MachineSupport | undefined;
  #rooms: ContainerRooms | undefined;

  constructor({ engine, images, events, log }: ContainersOptions) {
    this.engine = engine;
    this.#images = images;
    this.#events = events;
    this.#log = log;
    this.runs = new ContainerRuns({
      engine,
      rooms: () => this.rooms,
      find: id => this.find(id),
      change: (id, change) => this.change(id, change),
      isRemoving: id => this.#removing.has(id),
      discard: (id, anonymous) => this.#discard(id, anonymous),
      tell: (container, action, more) => this.tell(container, action, more),
      locks: this.#locks,
    });
    for (const container of engine.containers()) this.#index(container);
    this.#subscription = engine.subscribe(event => this.#follow(event));
  }

  /** The rooms are there: what a killed process left half-done is finished. */
  async open(rooms: ContainerRooms): Promise<void> {
    this.#rooms = rooms;
    const used = new Set(this.engine.containers({ owner: 'docker' }).map(({ config }) => config.sandboxId));
    for (const { id } of this.engine.sandboxes({ owner: 'docker' })) if (!used.has(id)) await this.engine.removeSandbox(id);
    for (const { id, state, config } of this.engine.containers({ owner: 'docker' }))
      if (state !== 'running') {
        const { isLeaving = false } = (config.ownerData ?? {}) as Partial<DockerData>;
        await this.runs.settle(id);
        if (isLeaving && this.engine.container(id)) await this.#discard(id, true);
      }
  }

  get support(): MachineSupport {
    this.#support ??= readMachineSupport();
    return this.#support;
  }

  get rooms(): ContainerRooms {
    if (!this.#rooms) throw new UmiakError('ServiceUnavailable', 'the docker face is not open yet');
    return this.#rooms;
  }

  // ——— looking ———

  find(nameOrId: string): DockerContainer {
    if (nameOrId.includes('/', 1)) return this.find(parseLink(findLinked(nameOrId, name => this.find(name)).link).target);
    const id = this.#names.find(nameOrId);
    const found = this.engine.container(id);
    if (!found) throw new UmiakError('NotFound', `No such container: ${nameOrId.slice(0, 256)}`);
    return this.#view(found);
  }

  all(): DockerContainer[] {
    return this.engine.containers().map(container => this.#view(container));
  }

  users(): VolumeUser[] {
    return this.engine.containers({ owner: 'docker' }).flatMap(({ id, state, config }) => {
      const { mounts = [], isLeaving = false } = (config.ownerData ?? {}) as Partial<DockerData>;
      return isLeaving ? [] : [{ id, isRunning: state === 'running', mounts }];
    });
  }

  mountsOf(reference: string): readonly ContainerMount[] {
    return this.find(reference).data.mounts;
  }

  #view(container: Container): DockerContainer {
    const { id, owner, config } = container;
    const sandbox = this.engine.sandbox(config.sandboxId);
    const own = owner === 'docker' ? (config.ownerData as DockerData | undefined) : undefined;
    const data = own ?? toForeignData(container, sandbox);
    return { id, sandboxId: config.sandboxId, owner, name: data.name, data, engine: container, sandbox };
  }

  #index(container: Container): void {
    if (this.#names.has(container.id)) return; // made by us, and perhaps renamed before it was told of
    const { name } = describeActor(container, this.engine.sandbox(container.config.sandboxId));
    try {
      this.#names.take(name, container.id);
    } catch {
      this.#names.take(container.id, container.id); // found by its id alone
    }
  }

  isRestarting(container: DockerContainer): boolean {
    return this.#rooms?.supervision?.isRestarting(container) ?? false;
  }

  statusOf(container: DockerContainer): Status {
    return statusOf(container.engine, { isRestarting: this.isRestarting(container), isRemoving: this.#removing.has(container.id) });
  }

  healthOf(container: DockerContainer): Health | undefined {
    return this.#rooms?.supervision?.healthOf(container);
  }

  // ——— making and changing ———

  /** @throws BadRequest, NotFound (the image), Conflict (the name), in docker's words */
  async create(
    body: CreateBody,
    { name, platform, apiMinor }: { name?: string | undefined; platform?: string | undefined; apiMinor: number },
  ): Promise<{ id: string; warnings: string[] }> {
    const { engine } = this;
    const taken = name ? parseName(name) : this.#names.invent();
    const id = newContainerId();
    this.#names.take(taken, id);
    try {
      const options = { rooms: this.rooms, engine, images: this.#images, lookup: this, support: this.support };
      return { id, warnings: await createContainer(options, { name: taken, id, body, platform, apiMinor }) };
    } catch (error) {
      this.#names.free(id);
      throw error;
    }
  }

  /** One change after the other, each of what the one before left. */
  async change(id: string, change: (data: DockerData) => DockerData): Promise<DockerContainer> {
    await this.#changes.run(id, async () => {
      const { owner, data } = this.find(id);
      if (owner === 'docker') await this.engine.setOwnerData(id, change(data));
    });
    return this.find(id);
  }

  /** Does something that nothing else is done to that container beside, but what its run does of itself. @throws NotFound */
  async exclusively<T>(id: string, work: (container: DockerContainer) => Promise<T>): Promise<T> {
    return await this.#locks.run(id, () => work(this.find(id)));
  }

  /** @throws Conflict, BadRequest */
  async rename(reference: string, newName: string): Promise<void> {
    if (newName === '' || newName === '/') throw new UmiakError('BadRequest', 'Neither old nor new names may be empty');
    const { id, owner } = this.find(reference);
    const name = parseName(newName);
    if (owner !== 'docker') throw new UmiakError('Conflict', `container ${id} belongs to a pod: its name is the pod's`);
    await this.exclusively(id, async before => {
      if (name === before.name) throw new UmiakError('BadRequest', 'Renaming a container with the same name as its current name');
      this.#names.hold(name, id);
      try {
        await this.change(id, data => ({ ...data, name }));
        this.#names.take(name, id);
      } finally {
        this.#names.drop(name, id);
      }
      await this.rooms.networks.renamed?.(this.find(id));
      this.tell(this.find(id), 'rename', { oldName: `/${before.name}` });
    });
  }

  /** Takes the link `app/db` away: the next run has it no more. @throws NotFound, Conflict */
  async removeLink(reference: string): Promise<void> {
    if (!reference.includes('/', 1)) throw new UmiakError('Conflict', 'Conflict, cannot remove the default link name of the container');
    const { holder, link } = findLinked(reference, name => this.find(name));
    await this.change(holder.id, data => ({
      ...data,
      hostConfig: { ...data.hostConfig, Links: data.hostConfig.Links?.filter(each => each !== link) ?? null },
    }));
  }

  // ——— running ———

  async start(id: string, why: 'asked' | 'policy' = 'asked', isWanted: () => boolean = () => true): Promise<void> {
    await this.runs.start(id, why, isWanted);
  }

  /** As `POST /containers/{id}/stop`. Resolves false when it does not run. */
  async stop(id: string, options: StopOptions = {}): Promise<boolean> {
    return await this.runs.stop(id, options);
  }

  #follow(event: EngineEvent): void {
    if (event.type !== 'container') return;
    const { action, container } = event;
    const { id } = container;
    const exitCode = exitCodeOf(container);
    if (action === 'created') this.#index(container);
    if (action === 'removed') {
      this.#names.free(id);
      this.#waits.removed(id, exitCode);
    }
    if (action !== 'exited' || container.startedAtMs === undefined) return;
    this.#waits.ended(id, exitCode);
    // Before the rooms are open, opening settles it.
    if (container.owner === 'docker' && this.#rooms) this.#track(this.runs.settle(id));
  }

  restartGivenUp(id: string): void {
    const container = this.engine.container(id);
    if (container) this.#waits.ended(id, exitCodeOf(container));
  }

  async settled(id: string): Promise<void> {
    if (this.engine.container(id)?.state !== 'running') await this.#locks.run(id, () => {});
  }

  #track(work: Promise<void>): void {
    const done = work.catch(error => {
      if (!isUmiakError(error, 'NotFound')) this.#log.error('what a container had could not be taken back', { error });
    });
    this.#underWay.add(done);
    void done.finally(() => this.#underWay.delete(done));
  }

  /** Resolves with its exit code when the condition holds. */
  async wait(id: string, condition: WaitCondition, signal: AbortSignal): Promise<number> {
    const container = this.find(id);
    const isOver = container.engine.state !== 'running' && !this.isRestarting(container);
    if (condition === 'not-running' && isOver) return exitCodeOf(container.engine);
    return await this.#waits.wait(id, condition, signal);
  }

  // ——— going ———

  /** @throws Conflict in docker's words when it runs and is not forced */
  async remove(reference: string, { force = false, volumes = false }: { force?: boolean; volumes?: boolean } = {}): Promise<void> {
    const container = this.find(reference);
    const { id, name, owner } = container;
    if (this.#removing.has(id)) throw new UmiakError('Conflict', `removal of container ${reference} is already in progress`);
    const { state, isPaused } = container.engine;
    const refuse = (is: string, first: string) =>
      new UmiakError('Conflict', `cannot remove container "/${name}": container is ${is}: ${first} before removing or force remove`);
    if (!force) {
      if (isPaused) throw new UmiakError('Conflict', `cannot remove container "/${name}": container is paused and must be unpaused first`);
      if (state === 'running') throw refuse('running', 'stop the container');
      if (this.isRestarting(container)) throw refuse('restarting', 'stop the container');
    }
    this.#removing.add(id);
    try {
      if (owner === 'docker') await this.rooms.supervision?.stopping(container);
      if (state === 'running') {
        this.tell(container, 'kill', { signal: String(SIGKILL) });
        await this.engine.stopContainer(id, { graceMs: 0 });
      }
      await this.#locks.run(id, async () => {
        const now = this.engine.container(id);
        if (!now) return;
        if (now.state === 'running') {
          if (!force) throw refuse('running', 'stop the container');
          await this.engine.stopContainer(id, { graceMs: 0 });
        }
        if (owner === 'docker') await this.runs.release(this.find(id));
        await this.#discard(id, volumes);
      });
    } finally {
      this.#removing.delete(id);
    }
  }

  async #discard(id: string, anonymous: boolean): Promise<void> {
    const { owner, sandboxId, data } = this.find(id);
    if (owner !== 'docker') return this.engine.removeContainer(id);
    const takesVolumes = anonymous && data.mounts.some(mount => mount.isAnonymous);
    // While they go, the record says so: nobody else knows whose they were.
    if (takesVolumes) {
      await this.change(id, known => ({ ...known, isLeaving: true }));
      await this.rooms.volumes.removed(data.mounts, { anonymous });
    }
    await this.engine.removeContainer(id);
    await this.engine.removeSandbox(sandboxId);
    if (!takesVolumes) await this.rooms.volumes.removed(data.mounts, { anonymous });
  }

  /** An event in docker's form. */
  tell({ id, name, data }: DockerContainer, action: string, more: Record<string, string> = {}): void {
    this.#events.emit({ type: 'container', action, id, attributes: { ...data.config.Labels, ...more, image: data.image, name } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscription[Symbol.dispose]();
    await Promise.all(this.#underWay);
  }
}
