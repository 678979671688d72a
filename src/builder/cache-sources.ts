import type { Descriptor, ImageConfig } from '#images/index.ts';
import type { BuildCache, CacheRecord } from './cache.ts';
import { imageResultId } from './keys.ts';
import type { Solved } from './solver.ts';

/** An image that steps may be taken from (`--cache-from`). */
export interface CacheSource {
  config: ImageConfig;
  layers: readonly Descriptor[];
}

/** Where an image's history a build has come: so many entries, so many layers. */
interface Place {
  source: CacheSource;
  entry: number;
  layer: number;
}

/** Steps that images tell of in their history: while a build does the same from the beginning on, their layers are its results. */
export class CacheSources {
  readonly #cache: BuildCache;
  /** By the id of the result that the build has come to. */
  readonly #places = new Map<string, Place[]>();

  constructor(cache: BuildCache, sources: readonly CacheSource[]) {
    this.#cache = cache;
    for (const source of sources) {
      const history = source.config.history ?? [];
      // Of layers that its history does not tell of, the image that it was built on is made.
      const untold = Math.max(0, source.layers.length - history.filter(told => !told.empty_layer).length);
      for (let layers = untold, entry = 0; entry <= history.length; entry++) {
        const id = imageResultId(source.config.rootfs.diff_ids.slice(0, layers));
        this.#places.set(id, [...(this.#places.get(id) ?? []), { source, entry, layer: layers }]);
        if (entry < history.length && !history[entry]?.empty_layer) layers += 1;
      }
    }
  }

  /** A step that changes files, after one that was found; its result is kept as our own. */
  find({ key, createdBy, below }: { key: string; createdBy: string; below: Solved }): CacheRecord | undefined {
    if (createdBy === '') return undefined;
    for (const place of this.#places.get(below.id) ?? []) {
      const { source, layer } = place;
      const history = source.config.history ?? [];
      let { entry } = place;
      // Steps that change no file have results of their own.
      while (history[entry]?.empty_layer && history[entry]?.created_by !== createdBy) entry += 1;
      const told = history[entry];
      if (told?.created_by !== createdBy) continue;
      const hasFiles = told.empty_layer !== true;
      const blob = source.layers[layer];
      const diffId = source.config.rootfs.diff_ids[layer];
      if (hasFiles && (!blob || !diffId)) continue;
      const made = blob && diffId ? { layer: { diffId, digest: blob.digest, sizeBytes: blob.size, mediaType: blob.mediaType } } : {};
      const record = this.#cache.add({ kind: 'run', keys: [key], createdBy, base: below.id, ...(hasFiles ? made : {}) });
      const next = { source, entry: entry + 1, layer: layer + (hasFiles ? 1 : 0) };
      this.#places.set(record.id, [...(this.#places.get(record.id) ?? []), next]);
      return record;
    }
    return undefined;
  }
}
