import type { ContentStore } from './content-store.ts';
import type { Digest } from './digest.ts';
import type { ImageIndex } from './image-index.ts';
import type { LayerStore } from './layer-store.ts';
import type { NamedImages } from './named-images.ts';

export interface CollectorOptions {
  content: ContentStore;
  index: ImageIndex;
  named: NamedImages;
  layers: LayerStore;
}

/** What a collection removed. */
export interface Collected {
  /** Layers. */
  deleted: Digest[];
  freedBytes: number;
}

/** Removes blobs and layers that no name and no lease needs, one collection after another. */
export class Collector {
  readonly #options: CollectorOptions;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: CollectorOptions) {
    this.#options = options;
  }

  /** `begun`: also what came of blobs that are not whole. Names of images in use stay (`remove`), so the index alone decides. */
  collect({ begun = false } = {}): Promise<Collected> {
    const collected = this.#last.then(() => this.#collect(begun));
    this.#last = collected.catch(() => {});
    return collected;
  }

  /** Resolves when no collection goes on. */
  async settled(): Promise<void> {
    await this.#last;
  }

  async #collect(begun: boolean): Promise<Collected> {
    const { content, index, named, layers } = this.#options;
    await content.askKeepers();
    using _ = content.beginCollection();
    const needed = new Set<Digest>();
    for (const entry of index.list())
      for (const digest of [entry.target.digest, entry.manifest.digest, ...(await named.needsOf(entry))]) needed.add(digest);
    const isNeeded = (digest: Digest) => needed.has(digest) || content.isLeased(digest);
    const deleted = await layers.collect(isNeeded);
    const { removed, freedBytes } = await content.collect(isNeeded, { begun });
    for (const digest of removed) named.forget(digest);
    return { deleted, freedBytes };
  }
}
