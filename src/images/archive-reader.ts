import { UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import type { ContentStore, Lease } from './content-store.ts';
import { type Digest, digestOf } from './digest.ts';
import {
  type Descriptor,
  hostPlatform,
  type ImageManifest,
  maxDocumentBytes,
  mediaTypes,
  type Platform,
  parseImageConfig,
  parseJson,
  parseManifestOrIndex,
  planPlatform,
} from './oci.ts';
import { parseReference, toCanonicalName } from './reference.ts';
import { toText } from './tar-format.ts';
import type { TarEntry } from './tar-reader.ts';

/** What is read of a tar archive's or a directory's file. */
export type ArchiveEntry = Pick<TarEntry, 'name' | 'type' | 'linkName' | 'sizeBytes' | 'body'>;

/** One image found in an archive, its blobs in the content store. */
export interface ArchivedImage {
  /** Canonical names the archive gives it. */
  names: string[];
  target: Descriptor;
  manifest: Descriptor;
}

export interface ReadArchiveOptions {
  content: ContentStore;
  lease: Lease;
  /** Which image of an index is taken. */
  platform?: Platform;
  /** What each image must be of. */
  requiredPlatform?: Platform | undefined;
  signal?: AbortSignal;
  onBytes?: (total: number) => void;
  /** A tar archive that is not compressed has come, probably a layer: its digest is that of its content. */
  onTar?: (digest: Digest) => void;
}

/** A file of an archive: its content is in the store; documents by their well-known names are in memory too. */
interface ArchivedFile {
  digest: Digest;
  size: number;
  bytes?: Buffer;
}

/** Each is written durably. */
const MOST_FILES = 20_000;
const DOCUMENTS = new Set(['index.json', 'manifest.json', 'oci-layout', 'repositories']);

/**
 * Takes in what `docker save` (old and new), `podman save`, `skopeo copy … oci-archive:` and the OCI image layout write, entry by
 * entry. Blobs stay leased; nothing gets a name here. @throws Invalid when it holds no image or a damaged one.
 */
export async function readArchive(entries: AsyncIterable<ArchiveEntry>, options: ReadArchiveOptions): Promise<ArchivedImage[]> {
  const files = await takeIn(entries, options);
  const index = files.get('index.json')?.bytes;
  const dockerList = files.get('manifest.json')?.bytes;
  if (index !== undefined) return await fromLayout(index, dockerList, options);
  if (dockerList !== undefined) return await fromDockerArchive(dockerList, files, options);
  throw new UmiakError('Invalid', 'the archive holds no image: neither index.json (OCI layout) nor manifest.json (docker save) is in it', {
    hint: 'A root file system as a tar archive is imported with `docker import`, not loaded.',
  });
}

async function takeIn(
  entries: AsyncIterable<ArchiveEntry>,
  { content, lease, signal, onBytes, onTar }: ReadArchiveOptions,
): Promise<Map<string, ArchivedFile>> {
  const files = new Map<string, ArchivedFile>();
  const links = new Map<string, string>();
  let total = 0;
  for await (const entry of entries) {
    signal?.throwIfAborted();
    if (files.size + links.size >= MOST_FILES)
      throw new UmiakError('Invalid', `the archive holds more than ${MOST_FILES} files; images have a few for each layer`);
    const name = normalise(toText(entry.name), '');
    if (entry.type === 'symlink') links.set(name, normalise(toText(entry.linkName), name));
    if (entry.type === 'link') links.set(name, normalise(toText(entry.linkName), ''));
    if (entry.type !== 'file') continue;
    const before = total;
    const progress = (bytes: number) => {
      total = before + bytes;
      onBytes?.(total);
    };
    if (DOCUMENTS.has(name)) {
      const bytes = await collectBody(entry.body(), entry.sizeBytes, name);
      files.set(name, { digest: digestOf(bytes), size: bytes.length, bytes });
    } else {
      const begin = new Beginning(entry.body());
      const file = await content.write(begin, { lease, what: `the archive's ${name}`, onBytes: progress, ...(signal ? { signal } : {}) });
      files.set(name, file);
      if (begin.isTar) onTar?.(file.digest);
    }
  }
  for (const [name, target] of links) {
    const file = files.get(target);
    if (file) files.set(name, file);
  }
  return files;
}

/** A file's bytes as they come, and whether they began as a tar archive does (POSIX ustar, "magic"). */
class Beginning implements AsyncIterable<Uint8Array> {
  readonly #body: AsyncIterable<Uint8Array>;
  isTar = false;

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#body = body;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    let isFirst = true;
    for await (const chunk of this.#body) {
      if (isFirst) this.isTar = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1', 257, 262) === 'ustar';
      isFirst = false;
      yield chunk;
    }
  }
}

async function fromLayout(indexBytes: Buffer, dockerList: Buffer | undefined, options: ReadArchiveOptions): Promise<ArchivedImage[]> {
  const parsed = parseManifestOrIndex(indexBytes, "the archive's index.json");
  if (parsed.kind !== 'index') throw new UmiakError('Invalid', "the archive's index.json: manifests must be a list");
  const tags = dockerList === undefined ? new Map<string, string[]>() : tagsByConfig(dockerList);
  const images = new Map<Digest, ArchivedImage>();
  for (const target of parsed.index.manifests) {
    if (target.annotations?.['vnd.docker.reference.type'] !== undefined) continue;
    const found = await resolveTarget(target, options);
    const image = images.get(target.digest) ?? { names: [], target: plain(target), manifest: found.descriptor };
    images.set(target.digest, image);
    const names = [...annotatedNames(target), ...(tags.get(`blobs/sha256/${found.manifest.config.digest.slice(7)}`) ?? [])];
    image.names = [...new Set([...image.names, ...names.map(name => toCanonicalName(parseReference(name)))])];
  }
  if (images.size === 0) throw new UmiakError('Invalid', "the archive's index.json names no image");
  return [...images.values()];
}

/** Follows indexes down to this platform's manifest, checking that every blob is here. */
async function resolveTarget(
  target: Descriptor,
  options: ReadArchiveOptions,
  depth = 0,
): Promise<{ descriptor: Descriptor; manifest: ImageManifest }> {
  const { content, platform = hostPlatform() } = options;
  const parsed = parseManifestOrIndex(await content.readDocument(target.digest, 'the manifest'), `manifest ${target.digest}`);
  if (parsed.kind === 'index') {
    const present = [];
    for (const child of parsed.index.manifests) if (await content.has(child.digest)) present.push(child);
    const chosen = planPlatform(present, platform);
    if (chosen === undefined || depth > 3)
      throw new UmiakError('NotFound', `the archive holds no image for ${platform.os}/${platform.architecture} under ${target.digest}`);
    return await resolveTarget(chosen, options, depth + 1);
  }
  await checkManifest(parsed.manifest, options, `manifest ${target.digest}`);
  return { descriptor: plain(target), manifest: parsed.manifest };
}

async function fromDockerArchive(list: Buffer, files: Map<string, ArchivedFile>, options: ReadArchiveOptions): Promise<ArchivedImage[]> {
  const { content, lease } = options;
  const images: ArchivedImage[] = [];
  for (const [i, item] of parseDockerList(list).entries()) {
    const file = (name: string, field: string) => {
      const found = files.get(normalise(name, ''));
      if (found === undefined)
        throw new UmiakError('Invalid', `the archive's manifest.json: [${i}].${field}: ${JSON.stringify(name)} is not in the archive`);
      return { digest: found.digest, size: found.size };
    };
    const manifest: ImageManifest = {
      schemaVersion: 2,
      mediaType: mediaTypes.dockerManifest,
      config: { mediaType: mediaTypes.dockerConfig, ...file(item.Config, 'Config') },
      layers: item.Layers.map((layer, at) => ({ mediaType: mediaTypes.dockerLayer, ...file(layer, `Layers[${at}]`) })),
    };
    await checkManifest(manifest, options, `the archive's manifest.json [${i}]`);
    const written = await content.writeDocument(Buffer.from(JSON.stringify(manifest)), lease);
    const descriptor: Descriptor = { mediaType: mediaTypes.dockerManifest, ...written };
    images.push({ names: item.RepoTags.map(tag => toCanonicalName(parseReference(tag))), target: descriptor, manifest: descriptor });
  }
  if (images.length === 0) throw new UmiakError('Invalid', "the archive's manifest.json names no image");
  return images;
}

/** Every blob is here with its announced size, and the configuration tells as many layers as the manifest has, and the platform asked for. */
async function checkManifest(
  manifest: ImageManifest,
  { content, requiredPlatform: required }: ReadArchiveOptions,
  what: string,
): Promise<void> {
  for (const { digest, size } of [manifest.config, ...manifest.layers]) {
    const found = await content.size(digest);
    if (found === undefined) throw new UmiakError('Invalid', `${what}: the blob ${digest} is missing`);
    if (found !== size) throw new UmiakError('Invalid', `${what}: the blob ${digest} has ${found} bytes, not the announced ${size}`);
  }
  const config = parseImageConfig(
    await content.readDocument(manifest.config.digest, 'the image configuration'),
    `configuration ${manifest.config.digest}`,
  );
  const announced = config.rootfs.diff_ids.length;
  if (announced !== manifest.layers.length)
    throw new UmiakError('Invalid', `${what}: it has ${manifest.layers.length} layers, its configuration ${announced}`);
  const { os, architecture } = config;
  if (required && (os !== required.os || architecture !== required.architecture))
    throw new UmiakError(
      'NotFound',
      `requested platform (${required.os}/${required.architecture}) not found: ${what} is of ${os}/${architecture}`,
    );
}

/** Names as tools annotate them: containerd's and docker's full name, else OCI's `ref.name` where it is a whole name and not just a tag. */
function annotatedNames({ annotations = {} }: Descriptor): string[] {
  const full = annotations['io.containerd.image.name'];
  if (full !== undefined) return [full];
  const name = annotations['org.opencontainers.image.ref.name'];
  return name !== undefined && /[/:]/.test(name) ? [name] : [];
}

function tagsByConfig(list: Buffer): Map<string, string[]> {
  return new Map(parseDockerList(list).map(({ Config, RepoTags }) => [Config, RepoTags]));
}

function parseDockerList(bytes: Buffer): { Config: string; RepoTags: string[]; Layers: string[] }[] {
  const what = "the archive's manifest.json";
  const list = parseJson(bytes, what);
  const strings = (value: unknown): value is string[] => Array.isArray(value) && value.every(item => typeof item === 'string');
  if (!Array.isArray(list)) throw new UmiakError('Invalid', `${what} is not a list`);
  return list.map((item: unknown, i) => {
    if (!isObject(item) || typeof item.Config !== 'string' || !strings(item.Layers ?? []) || !strings(item.RepoTags ?? []))
      throw new UmiakError('Invalid', `${what}: [${i}] needs Config, RepoTags and Layers`);
    return { Config: item.Config, RepoTags: (item.RepoTags ?? []) as string[], Layers: (item.Layers ?? []) as string[] };
  });
}

/** Without annotations, which belong to the archive. */
function plain({ mediaType, digest, size, platform }: Descriptor): Descriptor {
  return { mediaType, digest, size, ...(platform ? { platform } : {}) };
}

/** A path within the archive, `.` and `..` resolved; relative links start at the directory of `beside`. */
function normalise(path: string, beside: string): string {
  const components = path.startsWith('/') ? [] : beside.split('/').slice(0, -1);
  for (const component of path.split('/')) {
    if (component === '..') components.pop();
    else if (component !== '' && component !== '.') components.push(component);
  }
  return components.join('/');
}

async function collectBody(body: AsyncIterable<Buffer>, sizeBytes: number, name: string): Promise<Buffer> {
  if (sizeBytes > maxDocumentBytes)
    throw new UmiakError('RequestEntityTooLarge', `the archive's ${name} has ${sizeBytes} bytes; ${maxDocumentBytes} are read at most`);
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
