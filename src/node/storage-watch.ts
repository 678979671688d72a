import { dirname } from 'node:path';
import { type Clock, type Log, messageOf } from '#base/index.ts';
import type { Engine } from '#engine/engine.ts';
import type { Pod } from '#kinds/pod.ts';
import { diskUsage } from '#linux/disk-usage.ts';
import { containersOf } from './kubelet-stats.ts';
import type { VolumeKeeper } from './parts.ts';
import { allContainersOf, instancesOf } from './plan-pod.ts';
import { diskVolumes, isStorageLimited, planStorageEviction } from './plan-storage.ts';

export interface StorageWatchOptions {
  engine: Pick<Engine, 'sandboxes' | 'containers' | 'container' | 'writableDirectory'>;
  volumes: Pick<VolumeKeeper, 'directoryOf'>;
  /** The pods that run here now. */
  pods: () => Pod[];
  evict: (pod: Pod, message: string) => void;
  measure?: typeof diskUsage;
  clock: Clock;
  log: Log;
}

/** As often as the kubelet's eviction manager looks. */
const LOOK_EVERY_MS = 10_000;

/** Where a pod's bytes lie. */
interface Places {
  pod: Pod;
  volumes: Map<string, string>;
  containers: Map<string, string[]>;
}

/**
 * Sends pods away that have more on the node's disk than they may: `sizeLimit` of an emptyDir, limits of `ephemeral-storage`. It counts
 * every ten seconds, those that have such limits only, in a process of their own; without such pods it does nothing.
 */
export class StorageWatch implements AsyncDisposable {
  readonly #options: StorageWatchOptions;
  #timer: Disposable | undefined;
  #counting: Promise<void> = Promise.resolve();
  #isDisposed = false;

  constructor(options: StorageWatchOptions) {
    this.#options = options;
  }

  /** A pod has come, or has changed. */
  notice(pod: Pod): void {
    if (!this.#timer && !this.#isDisposed && isStorageLimited(pod)) this.#arm();
  }

  #arm(): void {
    this.#timer = this.#options.clock.after(LOOK_EVERY_MS, () => {
      this.#counting = this.#count()
        .catch(error => this.#options.log.warn('the use of the disk could not be counted', { error: messageOf(error) }))
        .then(() => {
          this.#timer = undefined;
          if (!this.#isDisposed && this.#limited().length > 0) this.#arm();
        });
    });
  }

  #limited(): Pod[] {
    return this.#options.pods().filter(isStorageLimited);
  }

  async #count(): Promise<void> {
    const { measure = diskUsage, evict } = this.#options;
    const all = this.#limited().map(pod => this.#placesOf(pod));
    const directories = all.flatMap(({ volumes, containers }) => [...volumes.values(), ...[...containers.values()].flat()]);
    const bytes = await measure([...new Set(directories)]);
    const of = (places: readonly string[]) => places.reduce((sum, place) => sum + (bytes.get(place) ?? 0), 0);
    for (const { pod, volumes, containers } of all) {
      const message = planStorageEviction(pod, {
        volumes: new Map([...volumes].map(([name, place]) => [name, of([place])])),
        containers: new Map([...containers].map(([name, places]) => [name, of(places)])),
      });
      if (message !== undefined && !this.#isDisposed) evict(pod, message);
    }
  }

  #placesOf(pod: Pod): Places {
    const { engine, volumes } = this.#options;
    const instances = containersOf(engine, pod);
    const containers = allContainersOf(pod).map(({ name }): [string, string[]] => {
      const [newest] = instancesOf(instances, name);
      if (!newest) return [name, []];
      return [name, [engine.writableDirectory(newest.id), ...(newest.logPath === undefined ? [] : [dirname(newest.logPath)])]];
    });
    return {
      pod,
      volumes: new Map(diskVolumes(pod).map(({ name }) => [name, volumes.directoryOf(pod.metadata.uid, name)])),
      containers: new Map(containers),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    this.#timer?.[Symbol.dispose]();
    await this.#counting;
  }
}
