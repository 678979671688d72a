import { chmod, lstat, mkdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Clock, isUmiakError, type Log, messageOf } from '#base/index.ts';
import { type Client, Informer, WorkQueue } from '#client/index.ts';
import { awaitsNode, LOCAL_PATH_FINALIZER, LOCAL_PATH_NODE, LOCAL_PATH_PROVISIONER, localPathNodeLabel } from '#kinds/local-path.ts';
import { PersistentVolume } from '#kinds/persistent-volume.ts';
import { PROVISIONED_BY } from '#kinds/volume-binding.ts';

export interface LocalPathDirectoriesOptions {
  /** Holds one directory a volume; the Node object names it. */
  directory: string;
  nodeName: string;
  client: Client;
  clock: Clock;
  log: Log;
}

/**
 * The directories behind local-path volumes of this node: made when they are first mounted, removed with everything in them once their
 * volume is deleted and was to be reclaimed by deletion; only then the volume is let go. Whoever is stopped in between goes on.
 */
export class LocalPathDirectories implements AsyncDisposable {
  readonly #options: LocalPathDirectoriesOptions;
  readonly #volumes: Informer<PersistentVolume>;
  readonly #queue: WorkQueue;
  #subscription: Disposable | undefined;

  constructor(options: LocalPathDirectoriesOptions) {
    this.#options = options;
    const { client, clock, log, nodeName } = options;
    const query = { labelSelector: `${LOCAL_PATH_NODE}=${localPathNodeLabel(nodeName)}` };
    this.#volumes = new Informer({ client, kind: PersistentVolume, query, clock, log });
    this.#queue = new WorkQueue({
      clock,
      concurrency: 2,
      work: name => this.#remove(name),
      onError: (volume, error, againInMs) => {
        if (!isUmiakError(error, 'Conflict')) log.warn('a volume could not be removed', { volume, error: messageOf(error), againInMs });
      },
    });
  }

  /** Follows the node's volumes from now on; what was deleted meanwhile is removed. */
  start(): void {
    this.#subscription ??= this.#volumes.subscribe(({ key, object }) => object && awaitsNode(object) && this.#queue.add(key));
    void this.#volumes.start();
  }

  /** Makes the volume's directory, everybody's to write, unless it is there. False when it is none of ours: then it must be there. */
  async make(volume: PersistentVolume): Promise<boolean> {
    const path = this.#pathOf(volume);
    if (!path) return false;
    if (await lstat(path).catch(() => undefined)) return true;
    await mkdir(this.#options.directory, { recursive: true, mode: 0o700 });
    const fresh = `${path}..new`;
    await rm(fresh, { recursive: true, force: true });
    await mkdir(fresh);
    await chmod(fresh, 0o777);
    await rename(fresh, path);
    return true;
  }

  /** Where the volume is, if it is directly below our directory. */
  #pathOf({ metadata, spec }: PersistentVolume): string | undefined {
    if (metadata.annotations?.[PROVISIONED_BY] !== LOCAL_PATH_PROVISIONER) return undefined;
    const path = spec.local?.path ?? '';
    const name = basename(path);
    return name && !name.startsWith('.') && path === join(this.#options.directory, name) ? path : undefined;
  }

  async #remove(name: string): Promise<undefined> {
    const volume = this.#volumes.get(name);
    if (!volume || !awaitsNode(volume)) return;
    const path = this.#pathOf(volume);
    if (path && volume.spec.persistentVolumeReclaimPolicy === 'Delete')
      for (const each of [path, `${path}..new`]) await rm(each, { recursive: true, force: true });
    const { client, log } = this.#options;
    const finalizers = volume.metadata.finalizers?.filter(one => one !== LOCAL_PATH_FINALIZER) ?? [];
    try {
      await client.update(PersistentVolume, { ...volume, metadata: { ...volume.metadata, finalizers } });
    } catch (error) {
      if (!isUmiakError(error, 'NotFound')) throw error;
    }
    log.info('a volume is removed', { volume: name, path: path ?? '' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscription?.[Symbol.dispose]();
    await this.#volumes[Symbol.asyncDispose]();
    await this.#queue[Symbol.asyncDispose]();
  }
}
