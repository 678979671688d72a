import { isUmiakError } from '#base/errors.ts';
import type { ImageToArchive } from './archive-writer.ts';
import type { Lease } from './content-store.ts';
import type { Digest } from './digest.ts';
import type { IndexEntry } from './image-index.ts';
import type { ImageRecord } from './image-store.ts';
import type { LayerStore } from './layer-store.ts';
import { isTag, type NamedImages, nameOf } from './named-images.ts';
import type { ImageConfig } from './oci.ts';

export interface ImageRecordsOptions {
  named: NamedImages;
  layers: LayerStore;
  isInUse: (imageId: Digest) => boolean;
}

/** Tells of images what those who ask see. */
export class ImageRecords {
  readonly #options: ImageRecordsOptions;

  constructor(options: ImageRecordsOptions) {
    this.#options = options;
  }

  async list(): Promise<ImageRecord[]> {
    const byId = await this.#options.named.byId();
    const records = await Promise.all([...byId.values()].map(entries => this.of(entries).catch(damaged)));
    return records.filter(record => record !== undefined);
  }

  /** @throws NotFound, Conflict */
  async inspect(reference: string): Promise<ImageRecord> {
    const { named } = this.#options;
    const entry = (await named.findAll(reference))[0]!;
    return await this.of(await named.entriesOf(await named.idOf(entry)));
  }

  /** The image that all of the entries name. */
  async of(entries: readonly IndexEntry[]): Promise<ImageRecord> {
    const { named, isInUse } = this.#options;
    const newest = entries.reduce((a, b) => (b.updatedAtMs > a.updatedAtMs ? b : a));
    const { manifest, config } = await named.read(newest.manifest.digest);
    const names = entries.map(({ name }) => name).sort();
    return {
      id: manifest.config.digest,
      manifestDigest: newest.manifest.digest,
      target: newest.target,
      repoTags: names.filter(isTag),
      repoDigests: names.filter(name => !isTag(name) && !name.startsWith('<none>')),
      sizeBytes: [manifest.config, ...manifest.layers].reduce((sum, { size }) => sum + size, 0),
      config,
      blobs: manifest.layers,
      layers: this.directories(config),
      taggedAtMs: newest.updatedAtMs,
      isInUse: isInUse(manifest.config.digest),
      isPinned: entries.some(({ pinned }) => pinned === true),
    };
  }

  /** Overlay refuses a directory twice; of a layer that comes twice only the upper one can be seen. */
  directories(config: ImageConfig): string[] {
    const { layers } = this.#options;
    const directories = [...new Set(config.rootfs.diff_ids.toReversed())].map(diffId => layers.directory(diffId));
    return directories.length > 0 ? directories : [layers.emptyDirectory];
  }

  /** What an archive of these images holds, leased, each image once with the names by which it was asked for. */
  async toArchive(references: readonly string[], lease: Lease): Promise<ImageToArchive[]> {
    const { named } = this.#options;
    const images = new Map<Digest, ImageToArchive>();
    for (const reference of references) {
      const { name, manifest: descriptor } = (await named.findAll(reference))[0]!;
      const { manifest } = await named.read(descriptor.digest);
      for (const blob of [descriptor, manifest.config, ...manifest.layers]) lease.add(blob.digest);
      const image = images.get(descriptor.digest) ?? { descriptor, manifest, names: [] };
      if (isTag(name) && name === nameOf(reference) && !image.names.includes(name)) image.names.push(name);
      images.set(descriptor.digest, image);
    }
    return [...images.values()];
  }
}

/** An image whose documents the disk altered is not here until it is pulled again. */
function damaged(error: unknown): undefined {
  if (!isUmiakError(error, 'NotFound')) throw error;
}
