import { join } from 'node:path';
import { type Clock, type Log, messageOf } from '#base/index.ts';
import { createClient, type Transport, WorkQueue } from '#client/index.ts';
import type { ManifestApplier } from './manifest-applier.ts';
import { ManifestTree } from './manifest-tree.ts';

export interface ManifestsOptions {
  /** The folder, `manifests` in the data directory; it may be absent. */
  folder: string;
  transport: Transport;
  clock: Clock;
  log: Log;
}

const FIRST_BACKOFF_MS = 250;
const LAST_BACKOFF_MS = 30_000;

/**
 * Applies the files of the folder `manifests` at start and when they change, as K3s does: YAML and JSON, in subfolders too, one file after
 * the other by name. What is taken out of a file is deleted; what a removed file held stays; `x.yaml.skip` beside `x.yaml` leaves it alone.
 * Each file has its record in kube-system (a ConfigMap), which Events about it regard. What fails is tried again with back-off.
 */
export class Manifests implements AsyncDisposable {
  readonly #options: ManifestsOptions;
  readonly #tree: ManifestTree;
  readonly #queue: WorkQueue;
  #applier: Promise<ManifestApplier> | undefined;

  constructor(options: ManifestsOptions) {
    this.#options = options;
    const { folder, clock, log } = options;
    this.#queue = new WorkQueue({
      clock,
      concurrency: 1,
      firstBackoffMs: FIRST_BACKOFF_MS,
      lastBackoffMs: LAST_BACKOFF_MS,
      work: path => this.#apply(path),
      onError: (path, error, againInMs) => log.error('a manifest was not applied', { file: path, error: messageOf(error), againInMs }),
    });
    this.#tree = new ManifestTree({ root: folder, clock, log, onChange: path => this.#queue.add(path) });
  }

  /** Finds what is there; applying goes on behind. */
  start(): Promise<void> {
    return this.#tree.start();
  }

  async #apply(path: string): Promise<number | undefined> {
    if (!this.#tree.has(path)) return undefined;
    this.#applier ??= this.#makeApplier();
    return (await this.#applier).apply(path);
  }

  async #makeApplier(): Promise<ManifestApplier> {
    const { ManifestApplier } = await import('./manifest-applier.ts');
    const { folder, transport, clock, log } = this.#options;
    return new ManifestApplier({ locate: path => join(folder, path), transport, client: createClient(transport), clock, log });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tree[Symbol.asyncDispose]();
    await this.#queue[Symbol.asyncDispose]();
    await (await this.#applier)?.[Symbol.asyncDispose]();
  }
}
