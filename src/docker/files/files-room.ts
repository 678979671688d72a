import type { Clock } from '#base/clock.ts';
import { isUmiakError, UmiakError } from '#base/errors.ts';
import type { ContainerFiles } from '#engine/files/index.ts';
import type { Engine } from '#engine/index.ts';
import type { ImageStore } from '#images/index.ts';
import type { ContainerLookup, DockerContainer, Events, Volumes } from '../rooms.ts';

export interface FilesRoomOptions {
  engine: Engine;
  containers: Pick<ContainerLookup, 'find'>;
  volumes?: Pick<Volumes, 'mount' | 'unmount'> | undefined;
  images: ImageStore;
  events: Events;
  clock: Clock;
}

/** Containers' files over docker's API: cp, diff, export, commit. What does the work is loaded with the first call. */
export class FilesRoom implements AsyncDisposable {
  readonly engine: Engine;
  readonly images: ImageStore;
  readonly clock: Clock;
  readonly #containers: Pick<ContainerLookup, 'find'>;
  readonly #volumes: Pick<Volumes, 'mount' | 'unmount'> | undefined;
  readonly #events: Events;
  #files: Promise<ContainerFiles> | undefined;
  /** Of containers that do not run, whose volumes are mounted for visits. */
  readonly #visits = new Map<string, number>();

  constructor({ engine, containers, volumes, images, events, clock }: FilesRoomOptions) {
    this.engine = engine;
    this.images = images;
    this.clock = clock;
    this.#containers = containers;
    this.#volumes = volumes;
    this.#events = events;
  }

  find(name: string): DockerContainer {
    return this.#containers.find(name);
  }

  files(): Promise<ContainerFiles> {
    this.#files ??= import('#engine/files/index.ts').then(
      ({ ContainerFiles: Files }) => new Files({ engine: this.engine, clock: this.clock }),
    );
    return this.#files;
  }

  /** A visit to a path of a container, its volumes mounted. @throws NotFound in docker's words */
  async visit<T>(container: DockerContainer, name: string, path: string, work: (files: ContainerFiles) => Promise<T>): Promise<T> {
    const files = await this.files();
    await this.#mountVolumes(container);
    try {
      return await work(files);
    } catch (error) {
      if (isUmiakError(error, 'NotFound') && error.details.kind === 'path')
        throw new UmiakError('NotFound', `Could not find the file ${path} in container ${name}`, { cause: error });
      throw error;
    } finally {
      await this.#unmountVolumes(container);
    }
  }

  tell({ id, name, data }: DockerContainer, action: string, more: Record<string, string> = {}): void {
    this.#events.emit({ type: 'container', action, id, attributes: { ...data.config.Labels, ...more, image: data.image, name } });
  }

  tellImage(action: string, id: string, name: string): void {
    this.#events.emit({ type: 'image', action, id, attributes: { name } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#files)?.[Symbol.asyncDispose]();
  }

  async #mountVolumes({ id, data }: DockerContainer): Promise<void> {
    if (data.mounts.length === 0 || !this.#volumes || this.#isRunning(id)) return;
    const visits = this.#visits.get(id) ?? 0;
    this.#visits.set(id, visits + 1);
    try {
      if (visits === 0) await this.#volumes.mount(id, data.mounts);
    } catch (error) {
      this.#leave(id);
      throw error;
    }
  }

  async #unmountVolumes({ id, data }: DockerContainer): Promise<void> {
    if (!this.#visits.has(id) || !this.#leave(id) || this.#isRunning(id)) return;
    await this.#volumes?.unmount(id, data.mounts);
  }

  /** Whether it was the last. */
  #leave(id: string): boolean {
    const left = (this.#visits.get(id) ?? 1) - 1;
    if (left > 0) this.#visits.set(id, left);
    else this.#visits.delete(id);
    return left <= 0;
  }

  #isRunning(id: string): boolean {
    return this.engine.container(id)?.state === 'running';
  }
}
