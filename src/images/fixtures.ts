import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Digest, digestOf, hexOf } from './digest.ts';
import { type ContainerConfig, hostPlatform, type ImageManifest, mediaTypes } from './oci.ts';
import { fromText, type TarHeader } from './tar-format.ts';
import { tarEnd, tarHeader, tarHeaderOf, tarPadding } from './tar-writer.ts';

/** An entry for `buildTar`: text names, content in place of a size. */
export interface FixtureEntry extends Partial<Omit<TarHeader, 'sizeBytes'>> {
  name: string;
  content?: string | Buffer;
}

/** A tar archive in memory; entries are files unless they say otherwise, directories when they end in a slash. */
export function buildTar(entries: readonly FixtureEntry[]): Buffer {
  const blocks = entries.flatMap(({ content = '', ...entry }) => {
    const bytes = Buffer.from(content);
    const type = entry.type ?? (entry.name.endsWith('/') ? 'directory' : 'file');
    const header = tarHeaderOf({
      ...entry,
      name: fromText(entry.name),
      type,
      linkName: fromText(entry.linkName ?? ''),
      sizeBytes: bytes.length,
    });
    return [tarHeader(header), bytes, tarPadding(bytes.length)];
  });
  return Buffer.concat([...blocks, tarEnd]);
}

export interface FixtureImage {
  manifest: { bytes: Buffer; digest: Digest; mediaType: string };
  configDigest: Digest;
  /** Every blob but the manifest. */
  blobs: Map<Digest, Buffer>;
}

/** An image in memory whose layers are the given archives, gzipped. */
export function buildImage(layers: readonly Buffer[], config: ContainerConfig = {}): FixtureImage {
  const blobs = new Map<Digest, Buffer>();
  const put = (bytes: Buffer) => {
    blobs.set(digestOf(bytes), bytes);
    return { digest: digestOf(bytes), size: bytes.length };
  };
  const document = { ...hostPlatform(), config, rootfs: { type: 'layers', diff_ids: layers.map(digestOf) } };
  const configBlob = put(Buffer.from(JSON.stringify(document)));
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, ...configBlob },
    layers: layers.map(layer => ({ mediaType: mediaTypes.ociLayerGzip, ...put(gzipSync(layer)) })),
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  return { manifest: { bytes, digest: digestOf(bytes), mediaType: manifest.mediaType }, configDigest: configBlob.digest, blobs };
}

/** An OCI layout of one image as a tar archive. */
export function buildLayout({ manifest, blobs }: FixtureImage, name?: string): Buffer {
  const { digest, mediaType, bytes } = manifest;
  const annotations = name === undefined ? {} : { annotations: { 'io.containerd.image.name': name } };
  const index = { schemaVersion: 2, manifests: [{ mediaType, digest, size: bytes.length, ...annotations }] };
  return buildTar([
    { name: 'oci-layout', content: '{"imageLayoutVersion":"1.0.0"}' },
    { name: 'index.json', content: JSON.stringify(index) },
    ...[...blobs, [digest, bytes] as const].map(([each, content]) => ({ name: `blobs/sha256/${hexOf(each)}`, content })),
  ]);
}

/** A directory for one test, gone afterwards. */
export async function temporaryDirectory(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), `umiak-images-${process.pid}-`));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** A stream of the bytes in pieces of `length`. */
export async function* inPieces(bytes: Buffer, length = 65536): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}
