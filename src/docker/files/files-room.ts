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
  readonly #visits = new Map<string, { count: number; mounted: Promise<void> }>();

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
    await using _ = await this.#showVolumes(container);
    try {
      return await work(files);
    } catch (error) {
      if (isUmiakError(error, 'NotFound') && error.details.kind === 'path')
        throw new UmiakError('NotFound', `Could not find the file ${path} in container ${name}`, { cause: error });
      throw error;
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

  /** Until it is disposed; a run of the container may begin and end meanwhile. */
  async #showVolumes({ id, data }: DockerContainer): Promise<AsyncDisposable | undefined> {
    const volumes = this.#volumes;
    if (data.mounts.length === 0 || !volumes || this.engine.container(id)?.state === 'running') return undefined;
    const visit = this.#visits.get(id) ?? { count: 0, mounted: volumes.mount(id, data.mounts, { isVisit: true }) };
    visit.count += 1;
    this.#visits.set(id, visit);
    const leave = async () => {
      visit.count -= 1;
      if (visit.count > 0) return;
      this.#visits.delete(id);
      await volumes.unmount(id, data.mounts, { isVisit: true });
    };
    try {
      await visit.mounted;
    } catch (error) {
      await leave();
      throw error;
    }
    return { [Symbol.asyncDispose]: leave };
  }
}
