import { isUmiakError, UmiakError } from '#base/errors.ts';
import { spending } from '#base/spent.ts';
import type { ContentStore, Lease } from './content-store.ts';
import type { Digest } from './digest.ts';
import { type Descriptor, isForeignLayer, type ParsedDocument, parseManifestOrIndex } from './oci.ts';
import type { ProxySettings } from './proxy.ts';
import type { ImageReference } from './reference.ts';
import { toCanonicalName } from './reference.ts';
import type { RegistryAuth } from './registry-auth.ts';
import type { RegistryEndpoints } from './registry-endpoints.ts';
import { type BlobSource, RegistryPush } from './registry-push.ts';
import type { TransferSlots } from './transfer-slots.ts';

/** How a push goes on: `preparing` names what there is to send, then what happens to each blob, at last a tag stands. */
export type PushEvent =
  | { status: 'preparing'; layers: { digest: Digest; sizeBytes: number }[] }
  | { status: 'exists' | 'uploaded'; digest: Digest }
  | { status: 'mounted'; digest: Digest; from: string }
  | { status: 'uploading'; digest: Digest; currentBytes: number; totalBytes: number }
  | { status: 'pushed'; name: string; digest: Digest; sizeBytes: number };

export interface PushOptions {
  auth?: RegistryAuth;
  signal?: AbortSignal;
  onProgress?: (event: PushEvent) => void;
  /** All tags that the repository has here. */
  allTags?: boolean;
}

/** A tag as it stands in the registry now. */
export interface PushedImage {
  /** Canonical. */
  name: string;
  digest: Digest;
  /** Of the manifest or index. */
  sizeBytes: number;
}

export interface PusherOptions {
  content: ContentStore;
  endpoints: RegistryEndpoints;
  /** Shared with downloads. */
  slots: TransferSlots;
  proxy?: ProxySettings;
  /** Other repositories of a registry that have the blob, by the names it has here. */
  repositoriesWith: (registry: string, digest: Digest) => string[];
}

/** Sends images to registries: blobs first, what names them after, tags last. */
export class Pusher {
  readonly #options: PusherOptions;

  constructor(options: PusherOptions) {
    this.#options = options;
  }

  /**
   * `target` goes whole, with all platforms of an index that are here; where one is missing, `manifest` alone.
   * @throws NotFound when a blob of it is not here any more
   */
  async push(reference: ImageReference, image: { target: Descriptor; manifest: Descriptor }, options: PushOptions): Promise<PushedImage> {
    const { content, endpoints, proxy } = this.#options;
    const { auth, signal, onProgress = () => {} } = options;
    const { registry, repository } = reference;
    const host = await endpoints.first(registry, 'push');
    if (host === undefined)
      throw new UmiakError('Invalid', `no host of the registry ${registry} has the capability push`, {
        hint: 'Add "push" to the capabilities of one in its hosts.toml.',
      });
    using lease = content.lease();
    const tree = (await this.#whole(image.target, lease)) ?? (await this.#whole(image.manifest, lease));
    if (tree === undefined)
      throw new UmiakError('NotFound', `${toCanonicalName(reference)} can't be pushed: a part of it is not in the content store`, {
        details: { kind: 'image', name: toCanonicalName(reference) },
        hint: 'Pull or load the image again.',
      });
    const blobs = [...new Map(tree.blobs.map(blob => [blob.digest, blob])).values()];
    const mounts = new Map(blobs.map(({ digest }) => [digest, this.#mountFor(registry, repository, digest)]));
    const sources = [...new Set([...mounts.values()].filter(from => from !== undefined))].slice(0, MAX_MOUNT_SOURCES);
    using client = new RegistryPush(
      { registry, repository, host, ...(auth && !host.isMirror ? { auth } : {}), ...(proxy ? { proxy } : {}) },
      sources,
    );
    onProgress({ status: 'preparing', layers: tree.layers.map(({ digest, size }) => ({ digest, sizeBytes: size })) });
    await this.#sendAll(blobs, client, options, digest => sources.find(each => each === mounts.get(digest)));
    for (const { bytes, descriptor } of tree.documents) {
      const isRoot = descriptor.digest === tree.root.digest;
      await client.manifest(isRoot && reference.tag !== undefined ? reference.tag : descriptor.digest, bytes, descriptor.mediaType, signal);
    }
    const { digest, size } = tree.root;
    const pushed = { name: toCanonicalName(reference), digest, sizeBytes: size };
    onProgress({ status: 'pushed', ...pushed });
    return pushed;
  }

  async #sendAll(
    blobs: readonly Descriptor[],
    client: RegistryPush,
    { signal, onProgress = () => {} }: PushOptions,
    mountFrom: (digest: Digest) => string | undefined,
  ): Promise<void> {
    const failed = new AbortController();
    const abort = AbortSignal.any([failed.signal, ...(signal ? [signal] : [])]);
    const next = blobs.values();
    const send = async () => {
      for (const { digest, size } of next) {
        using transfer = await this.#options.slots.take(abort);
        const from = mountFrom(digest);
        const sending = client.blob(this.#sourceOf(digest, size), {
          signal: abort,
          ...(from !== undefined ? { mountFrom: from } : {}),
          onBytes: currentBytes => {
            transfer.at(currentBytes);
            onProgress({ status: 'uploading', digest, currentBytes, totalBytes: size });
          },
        });
        const status = await sending.catch(error => this.#explain(error, digest, abort));
        onProgress(status === 'mounted' ? { status, digest, from: from ?? '' } : { status, digest });
      }
    };
    const stop = (error: unknown) => failed.abort(error);
    await Promise.all(Array.from({ length: Math.min(PARALLEL, blobs.length) }, () => send().catch(stop)));
    signal?.throwIfAborted();
    if (failed.signal.aborted) throw failed.signal.reason;
  }

  /** A registry that refuses a blob may be right: then it is ours that the disk altered. */
  async #explain(error: unknown, digest: Digest, signal: AbortSignal): Promise<never> {
    const { content } = this.#options;
    if (signal.aborted || !isUmiakError(error, 'BadRequest') || (await content.verify(digest, signal)) === 'right') throw error;
    throw await content.missing(digest, 'the blob');
  }

  #sourceOf(digest: Digest, size: number): BlobSource {
    return { digest, size, read: start => spending(this.#options.content.readVerified(digest, { start })) };
  }

  #mountFor(registry: string, repository: string, digest: Digest): string | undefined {
    return this.#options.repositoriesWith(registry, digest).find(each => each !== repository);
  }

  /** The documents of a tree, children first, and the blobs that they name; undefined when any is not here. */
  async #whole(root: Descriptor, lease: Lease): Promise<Tree | undefined> {
    const tree: Tree = { root, documents: [], blobs: [], layers: [] };
    return (await this.#add(root, tree, lease, 0)) ? tree : undefined;
  }

  async #add(descriptor: Descriptor, tree: Tree, lease: Lease, depth: number): Promise<boolean> {
    const { content } = this.#options;
    lease.add(descriptor.digest);
    if (depth > 4 || !(await content.has(descriptor.digest))) return false;
    const what = `the manifest ${descriptor.digest}`;
    const bytes = await content.readDocument(descriptor.digest, what);
    const parsed: ParsedDocument = parseManifestOrIndex(bytes, what);
    if (parsed.kind === 'index') {
      for (const child of parsed.index.manifests) if (!(await this.#add(child, tree, lease, depth + 1))) return false;
    } else
      for (const blob of [parsed.manifest.config, ...parsed.manifest.layers]) {
        // What may not be distributed stays where its address says.
        if (isForeignLayer(blob)) continue;
        lease.add(blob.digest);
        if ((await content.size(blob.digest)) !== blob.size) return false;
        tree.blobs.push(blob);
        if (blob !== parsed.manifest.config) tree.layers.push(blob);
      }
    const mediaType = descriptor.mediaType || (parsed.kind === 'index' ? parsed.index : parsed.manifest).mediaType;
    tree.documents.push({ bytes, descriptor: { ...descriptor, mediaType } });
    return true;
  }
}

const PARALLEL = 4;
/** Each is one more right to ask the token server for. */
const MAX_MOUNT_SOURCES = 4;

interface Tree {
  root: Descriptor;
  documents: { bytes: Buffer; descriptor: Descriptor }[];
  blobs: Descriptor[];
  /** Those of the blobs that people are told of. */
  layers: Descriptor[];
}
