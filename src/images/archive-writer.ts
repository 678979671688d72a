import type { ContentStore } from './content-store.ts';
import { hexOf } from './digest.ts';
import { type Descriptor, type ImageManifest, mediaTypes } from './oci.ts';
import { toFamiliarName } from './reference.ts';
import { fromText } from './tar-format.ts';
import { tarEnd, tarHeader, tarHeaderOf, tarPadding } from './tar-writer.ts';

/** One image to be written, with the canonical tags it shall bear. */
export interface ImageToArchive {
  descriptor: Descriptor;
  manifest: ImageManifest;
  names: string[];
}

/**
 * One archive that is both an OCI image layout and what `docker load` reads, as docker's own `save` writes it today.
 * The same images give the same bytes.
 */
export async function* writeArchive(images: readonly ImageToArchive[], content: ContentStore): AsyncGenerator<Uint8Array, void, undefined> {
  const blobs = new Map<string, Descriptor>();
  for (const { descriptor, manifest } of images)
    for (const blob of [descriptor, manifest.config, ...manifest.layers]) blobs.set(`blobs/sha256/${hexOf(blob.digest)}`, blob);
  yield directory('blobs');
  yield directory('blobs/sha256');
  for (const [name, { digest, size }] of [...blobs].sort(([a], [b]) => (a < b ? -1 : 1))) {
    yield tarHeader(tarHeaderOf({ name, type: 'file', sizeBytes: size }));
    yield* content.readVerified(digest);
    yield tarPadding(size);
  }
  yield document('index.json', { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: images.flatMap(toLayoutEntries) });
  yield document('manifest.json', images.map(toDockerEntry));
  yield document('oci-layout', { imageLayoutVersion: '1.0.0' });
  yield tarEnd;
}

function toLayoutEntries({ descriptor, names }: ImageToArchive): Descriptor[] {
  const { mediaType, digest, size, platform } = descriptor;
  const plain = { mediaType, digest, size, ...(platform ? { platform } : {}) };
  if (names.length === 0) return [plain];
  return names.map(name => ({
    ...plain,
    annotations: { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name.slice(name.lastIndexOf(':') + 1) },
  }));
}

function toDockerEntry({ manifest, names }: ImageToArchive) {
  return {
    Config: `blobs/sha256/${hexOf(manifest.config.digest)}`,
    RepoTags: names.length === 0 ? null : names.map(toFamiliarName),
    Layers: manifest.layers.map(({ digest }) => `blobs/sha256/${hexOf(digest)}`),
  };
}

function directory(name: string): Buffer {
  return tarHeader(tarHeaderOf({ name: `${name}/`, type: 'directory' }));
}

function document(name: string, value: unknown): Buffer {
  const bytes = Buffer.from(JSON.stringify(value));
  return Buffer.concat([
    tarHeader(tarHeaderOf({ name: fromText(name), type: 'file', sizeBytes: bytes.length })),
    bytes,
    tarPadding(bytes.length),
  ]);
}
