import { isUmiakError, UmiakError } from '#base/errors.ts';
import { newContainerId } from '#base/ids.ts';
import type { Mount } from '#engine/index.ts';
import type { ImageStore } from '#images/image-store.ts';
import { isDirectory, requireSource } from './bind-source.ts';
import type { ContainerMount, MountsRequest, PreparedMounts, VolumeUsers } from './container-mounts.ts';
import type { MountSpec } from './mount-spec.ts';
import { planMounts } from './plan-mounts.ts';
import { toContainerMount, toEngineMount } from './resolved-mount.ts';
import type { VolumeParts } from './volume-parts.ts';
import { newVolumeName, type VolumeRecord } from './volume-store.ts';

/** What `POST /volumes/create` asks for. */
export interface VolumeWishes {
  name: string;
  driver?: string;
  options?: Record<string, string>;
  labels?: Record<string, string>;
}

/** What is done to volumes while a container is made. */
export interface PreparedVolumes {
  has(name: string): boolean;
  /** `isUnclaimed`: a kill before `claim` leaves nothing of it. */
  create(wishes: VolumeWishes, options?: { isAnonymous?: boolean; isUnclaimed?: boolean }): Promise<VolumeRecord>;
  /** A container's record names it. Without effect on what is not there. */
  claim(name: string): void;
  remove(name: string): Promise<void>;
  /** Until it is let go as often, a volume is not removed. */
  keep(name: string): void;
  let(name: string): void;
  /** Copies what the image has there into an empty volume. */
  fill(name: string, destination: string, layers: readonly string[]): Promise<void>;
  mountpointOf(name: string): string;
}

export interface MountPreparationOptions {
  volumes: PreparedVolumes;
  parts: VolumeParts;
  images: Pick<ImageStore, 'inspect' | 'ensureUnpacked'>;
  mountsOf: VolumeUsers['mountsOf'];
  canReadOnlyBelow: () => Promise<boolean>;
}

/** Makes of what a container's configuration says of mounts what the engine takes and its record keeps: all of it, or nothing. */
export class MountPreparation {
  readonly #options: MountPreparationOptions;

  constructor(options: MountPreparationOptions) {
    this.#options = options;
  }

  async prepare(request: MountsRequest): Promise<PreparedMounts> {
    const specs = planMounts(request, reference => asRequest(() => this.#options.mountsOf(reference)));
    const key = newContainerId();
    const made: string[] = [];
    const kept: string[] = [];
    const release = () => {
      for (const name of kept.splice(0)) this.#options.volumes.let(name);
    };
    const undo = async () => {
      release();
      this.#options.parts.remove(key);
      for (const name of made.splice(0)) await this.#options.volumes.remove(name).catch(unlessInUse);
    };
    try {
      const isReadOnlyBelow = request.apiMinor >= 44 && specs.some(spec => spec.readOnly) && (await this.#options.canReadOnlyBelow());
      const mounts: Mount[] = [];
      const containerMounts: ContainerMount[] = [];
      for (const [index, asked] of specs.entries()) {
        const spec = await this.#settle(asked, made, kept);
        const place = spec.type === 'volume' && spec.subPath !== undefined ? this.#options.parts.placeOf(key, index) : undefined;
        const source = spec.type === 'volume' ? this.#options.volumes.mountpointOf(spec.source) : spec.source;
        if (place !== undefined) this.#options.parts.reserve(place);
        const image = spec.type === 'image' ? await this.#imageOf(spec.source) : undefined;
        // Nothing is mounted below a file, and runtimes don't take one for a tree.
        const isTree = spec.type !== 'volume' ? isDirectory(source) : place === undefined;
        mounts.push(toEngineMount(spec, { source: place ?? source, isReadOnlyBelow: isReadOnlyBelow && isTree, image }));
        if (!spec.isHidden)
          containerMounts.push(toContainerMount(spec, { source, place, isAnonymous: asked.type === 'volume' && asked.source === '' }));
        if (spec.type === 'volume' && !spec.noCopy) await this.#options.volumes.fill(spec.source, spec.destination, request.lowerDirs);
      }
      const done = () => {
        release();
        for (const name of made.splice(0)) this.#options.volumes.claim(name);
      };
      return { mounts, containerMounts, undo, [Symbol.dispose]: done };
    } catch (error) {
      await undo();
      throw error;
    }
  }

  /** A spec whose source is there: volumes are made, and sources of `-v`. */
  async #settle(spec: MountSpec, made: string[], kept: string[]): Promise<MountSpec> {
    if (spec.type === 'bind') await requireSource(spec.source, spec.makesSource ?? false);
    if (spec.type !== 'volume') return spec;
    const { volumes } = this.#options;
    const { source: asked, driver, driverOptions, labels } = spec;
    const name = asked === '' ? newVolumeName() : asked;
    // From here on it is not removed, by whoever is before us in its lock.
    volumes.keep(name);
    kept.push(name);
    const isNew = !volumes.has(name);
    const wishes = {
      name,
      ...(driver ? { driver } : {}),
      ...(driverOptions ? { options: driverOptions } : {}),
      ...(labels ? { labels } : {}),
    };
    await volumes.create(wishes, { isAnonymous: asked === '', isUnclaimed: asked === '' }).catch((error: unknown) =>
      asRequest(() => {
        throw error;
      }),
    );
    if (isNew) made.push(name);
    return { ...spec, source: name };
  }

  async #imageOf(reference: string): Promise<{ id: string; layers: string[] }> {
    const { id } = await this.#options.images.inspect(reference);
    return { id, layers: await this.#options.images.ensureUnpacked(id) };
  }
}

/** What a mount needs and is not there makes the request wrong: a 404 would speak of the image, and clients would pull it. */
function asRequest<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw isUmiakError(error, 'NotFound') ? new UmiakError('BadRequest', error.message, { cause: error }) : error;
  }
}

/** For `catch`: a volume that somebody has, or that is gone, stays as it is. */
export function unlessInUse(error: unknown): false {
  if (!isUmiakError(error, 'Conflict') && !isUmiakError(error, 'NotFound')) throw error;
  return false;
}
