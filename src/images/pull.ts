import { type Clock, systemClock } from '#base/clock.ts';
import { isUmiakError, UmiakError } from '#base/errors.ts';
import { spending } from '#base/spent.ts';
import type { ContentStore, Lease } from './content-store.ts';
import type { Digest } from './digest.ts';
import { KeptPulls } from './kept-pulls.ts';
import type { LayerStore } from './layer-store.ts';
import {
  checkIsImage,
  type Descriptor,
  type ImageManifest,
  isForeignLayer,
  maxDocumentBytes,
  type Platform,
  parseImageConfig,
  parseManifestOrIndex,
  planPlatform,
} from './oci.ts';
import type { ProxySettings } from './proxy.ts';
import { type ImageReference, toCanonicalName } from './reference.ts';
import type { RegistryAuth } from './registry-auth.ts';
import type { RegistryEndpoints } from './registry-endpoints.ts';
import { mayPass } from './registry-errors.ts';
import { MirroredRegistry } from './registry-mirrors.ts';
import { SingleFlight } from './single-flight.ts';
import type { TransferSlots } from './transfer-slots.ts';

/** How a pull goes on: first `resolved`, then for each layer (and the configuration) what happens to it. */
export type PullEvent =
  | { status: 'resolved'; digest: Digest; layers: { digest: Digest; sizeBytes: number }[] }
  | { status: 'exists' | 'downloaded' | 'unpacking' | 'unpacked'; digest: Digest }
  | { status: 'downloading'; digest: Digest; currentBytes: number; totalBytes: number };

export interface PullOptions {
  auth?: RegistryAuth;
  platform?: Platform;
  signal?: AbortSignal;
  onProgress?: (event: PullEvent) => void;
  /** Unpack layers as they arrive; by default true. */
  unpack?: boolean;
}

export interface PullerOptions {
  content: ContentStore;
  layers: LayerStore;
  endpoints: RegistryEndpoints;
  /** Bound the transfers of all pulls and pushes together. */
  slots: TransferSlots;
  platform: Platform;
  clock?: Clock;
  proxy?: ProxySettings;
  /** Downloads of one pull side by side. */
  parallel?: number;
  /** Called when what a failed pull had fetched is not kept any longer. */
  onLapse?: () => void;
}

/** What was pulled: what the reference names, and the manifest in it that was chosen. */
export interface PulledImage {
  target: Descriptor;
  manifest: Descriptor;
}

/** Fetches images into the content store. Pulls of the same image, and of the same layer by several images, are one. */
export class Puller implements AsyncDisposable {
  readonly #content: ContentStore;
  readonly #layers: LayerStore;
  readonly #options: PullerOptions;
  readonly #pulls = new SingleFlight<PullEvent>();
  readonly #downloads = new SingleFlight<number>();
  readonly #closing = new AbortController();
  readonly #kept: KeptPulls;

  constructor(options: PullerOptions) {
    this.#options = options;
    this.#content = options.content;
    this.#layers = options.layers;
    this.#kept = new KeptPulls(options.clock ?? systemClock, () => options.onLapse?.());
  }

  /** `record` gives the image its names while its content is still leased. */
  async pull<T>(reference: ImageReference, options: PullOptions, record: (image: PulledImage) => Promise<T>): Promise<T> {
    const { clock, proxy } = this.#options;
    const { auth, platform = this.#options.platform, unpack = true, signal, onProgress } = options;
    const key = JSON.stringify([toCanonicalName(reference), platform, auth ?? null, unpack]);
    return await this.#pulls.run(key, { signal, onEvent: onProgress }, async (abort, emit) => {
      using held = new DisposableStack();
      const lease = held.use(this.#content.lease());
      const { registry, repository } = reference;
      const endpoints = await this.#options.endpoints.of(registry);
      using client = new MirroredRegistry({
        registry,
        repository,
        endpoints,
        ...(auth ? { auth } : {}),
        ...(clock ? { clock } : {}),
        ...(proxy ? { proxy } : {}),
      });
      const way: Way = {
        client,
        lease,
        platform,
        unpack,
        signal: AbortSignal.any([abort, this.#closing.signal]),
        emit,
        key: JSON.stringify([registry, repository, auth ?? null]),
        here: { bytes: 0 },
      };
      try {
        return await record(await this.#fetch(reference, way));
      } catch (error) {
        // Whoever tries again soon finds what came.
        if (mayPass(error) && !this.#closing.signal.aborted) this.#kept.add(held.move(), way.here.bytes);
        throw error;
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new UmiakError('ServiceUnavailable', 'the image store is closing'));
    await this.#pulls.settled();
    await this.#downloads.settled();
    this.#kept[Symbol.dispose]();
  }

  async #fetch(reference: ImageReference, way: Way): Promise<PulledImage> {
    const target = await this.#document(reference.digest ?? reference.tag ?? 'latest', way);
    const name = toCanonicalName(reference);
    let chosen = target;
    for (let depth = 0; chosen.parsed.kind === 'index'; depth++) {
      const child = planPlatform(chosen.parsed.index.manifests, way.platform);
      const { os, architecture, variant } = way.platform;
      if (child === undefined || depth > 3)
        throw new UmiakError(
          'NotFound',
          `${name} has no image for ${[os, architecture, variant].filter(Boolean).join('/')}; it has ${platformsOf(chosen.parsed.index.manifests)}`,
          {
            details: { kind: 'image', name },
          },
        );
      chosen = await this.#document(child.digest, way);
    }
    checkIsImage(chosen.parsed.manifest, name);
    await this.#layersOf(chosen.parsed.manifest, chosen.descriptor.digest, way);
    return { target: target.descriptor, manifest: chosen.descriptor };
  }

  async #document(reference: string, { client, lease, signal }: Way) {
    const { bytes, mediaType } = await client.manifest(reference, signal);
    const parsed = parseManifestOrIndex(bytes, `the manifest ${reference}`);
    const written = await this.#content.writeDocument(bytes, lease);
    return {
      parsed,
      descriptor: { mediaType: mediaType || (parsed.kind === 'index' ? parsed.index : parsed.manifest).mediaType, ...written },
    };
  }

  async #layersOf(manifest: ImageManifest, digest: Digest, way: Way): Promise<void> {
    if (manifest.config.size > maxDocumentBytes)
      throw new UmiakError('RequestEntityTooLarge', `the configuration of ${digest} has ${manifest.config.size} bytes`);
    way.emit({ status: 'resolved', digest, layers: manifest.layers.map(layer => ({ digest: layer.digest, sizeBytes: layer.size })) });
    await this.#blob(manifest.config, way);
    const config = parseImageConfig(
      await this.#content.readDocument(manifest.config.digest, 'the image configuration'),
      `configuration ${manifest.config.digest}`,
    );
    const diffIds = config.rootfs.diff_ids;
    if (diffIds.length !== manifest.layers.length)
      throw new UmiakError('Invalid', `manifest ${digest}: it has ${manifest.layers.length} layers, its configuration ${diffIds.length}`);
    for (const diffId of diffIds) way.lease.add(diffId);
    const failed = new AbortController();
    const signal = AbortSignal.any([way.signal, failed.signal]);
    const unpacks: Promise<void>[] = [];
    const next = manifest.layers.entries();
    const stop = (error: unknown) => failed.abort(error);
    const download = async () => {
      for (const [i, layer] of next) {
        await this.#blob(layer, { ...way, signal });
        if (way.unpack) unpacks.push(this.#unpack(layer, diffIds[i]!, { ...way, signal }).catch(stop));
      }
    };
    await Promise.all(Array.from({ length: this.#options.parallel ?? PARALLEL }, () => download().catch(stop)));
    await Promise.all(unpacks);
    // What they leave behind is gone, or kept, when the pull has failed.
    if (failed.signal.aborted) await this.#downloads.abandoned();
    failed.signal.throwIfAborted();
  }

  /** A blob that was here before and proves corrupt is fetched again, once. */
  async #unpack(layer: Descriptor, diffId: Digest, way: Way): Promise<void> {
    const { digest } = layer;
    way.emit({ status: 'unpacking', digest });
    try {
      await this.#layers.ensure(diffId, this.#content.path(digest));
    } catch (error) {
      if (way.signal.aborted || (await this.#content.verify(digest, way.signal)) === 'right') throw error;
      await this.#blob(layer, way);
      await this.#layers.ensure(diffId, this.#content.path(digest));
    }
    way.emit({ status: 'unpacked', digest });
  }

  async #blob(descriptor: Descriptor, { client, lease, signal, emit, key, here }: Way): Promise<void> {
    const { digest, size } = descriptor;
    lease.add(digest);
    if ((await this.#content.size(digest)) === size) {
      here.bytes += size;
      return emit({ status: 'exists', digest });
    }
    const onEvent = (currentBytes: number) => emit({ status: 'downloading', digest, currentBytes, totalBytes: size });
    await this.#downloads.run(`${key}${digest}`, { signal, onEvent }, async (abort, emitBytes) => {
      if ((await this.#content.size(digest)) === size) return;
      const what = `the blob ${digest}`;
      using transfer = await this.#options.slots.take(abort);
      const onBytes = (bytes: number) => {
        transfer.at(bytes);
        emitBytes(bytes);
      };
      const write = (from: (start: number) => AsyncIterable<Uint8Array>) =>
        this.#content.write(start => spending(from(start)), { lease, expected: { digest, size }, what, signal: abort, onBytes });
      await client.blob(digest, write, abort).catch(error => {
        throw isForeignLayer(descriptor) && isUmiakError(error, 'NotFound') ? toForeign(error, descriptor) : error;
      });
    });
    here.bytes += size;
    emit({ status: 'downloaded', digest });
  }
}

const PARALLEL = 4;

/** Such a layer lies at addresses that anybody may write into a manifest; they are not followed. */
function toForeign(cause: UmiakError, { digest, mediaType }: Descriptor): UmiakError {
  return new UmiakError('NotFound', `the layer ${digest} is foreign (${mediaType}): the registry does not have it`, {
    hint: 'Copy the image to a registry with all its layers: skopeo copy, or crane with --allow-nondistributable-artifacts.',
    cause,
  });
}

/** What one pull carries along. */
interface Way {
  client: MirroredRegistry;
  lease: Lease;
  platform: Platform;
  unpack: boolean;
  signal: AbortSignal;
  emit: (event: PullEvent) => void;
  /** Tells downloads apart that may have different rights. */
  key: string;
  /** What it has brought or found. */
  here: { bytes: number };
}

function platformsOf(manifests: readonly Descriptor[]): string {
  const names = manifests.flatMap(({ platform }) =>
    platform && platform.os !== 'unknown' ? [[platform.os, platform.architecture, platform.variant].filter(Boolean).join('/')] : [],
  );
  return names.length > 0 ? [...new Set(names)].join(', ') : 'none that says its platform';
}
