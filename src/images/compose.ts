import type { ArchivedImage } from './archive-reader.ts';
import type { ContentStore, Lease } from './content-store.ts';
import type { CommittedLayer } from './image-store.ts';
import { type Descriptor, type ImageConfig, type ImageManifest, mediaTypes } from './oci.ts';

export interface ComposeOptions {
  /** Its `rootfs` lists the layers, whose blobs are in the store. */
  config: ImageConfig;
  /** In the order of `rootfs.diff_ids`. */
  layers: readonly Descriptor[];
  /** Canonical. */
  names: string[];
  lease: Lease;
}

/** Writes the documents of an image whose layers are in the store; `ImageStore.adopt` then makes it one. */
export async function composeImage(content: ContentStore, { config, layers, names, lease }: ComposeOptions): Promise<ArchivedImage> {
  const document = async (mediaType: string, value: unknown): Promise<Descriptor> => ({
    mediaType,
    ...(await content.writeDocument(Buffer.from(JSON.stringify(value)), lease)),
  });
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: await document(mediaTypes.ociConfig, config),
    layers: [...layers],
  };
  const descriptor = await document(mediaTypes.ociManifest, manifest);
  return { names, target: descriptor, manifest: descriptor };
}

/** A committed layer as a manifest lists it. */
export function toLayerDescriptor({ digest, sizeBytes }: CommittedLayer): Descriptor {
  return { mediaType: mediaTypes.ociLayer, digest, size: sizeBytes };
}
