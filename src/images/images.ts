import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { systemClock } from '#base/clock.ts';
import { spending } from '#base/spent.ts';
import { type ArchivedImage, type ArchiveEntry, readArchive } from './archive-reader.ts';
import { writeArchive } from './archive-writer.ts';
import type { AssembleOptions } from './assemble.ts';
import { Collector } from './collector.ts';
import { ContentStore, type Lease } from './content-store.ts';
import { decompressed } from './decompress.ts';
import type { Digest } from './digest.ts';
import { toDiskError } from './durable.ts';
import { ImageIndex } from './image-index.ts';
import { ImageRecords } from './image-records.ts';
import { untaggedName } from './image-removal.ts';
import type {
  CommitLayerOptions,
  CommittedLayer,
  ImageRecord,
  ImageStore,
  ImageStoreOptions,
  LoadOptions,
  LoadSource,
  RemoveOptions,
  RemoveResult,
  VerifyOptions,
  VerifyReport,
} from './image-store.ts';
import { KEPT_MS } from './kept-pulls.ts';
import { type DiskUsage, LayerStore } from './layer-store.ts';
import { readLayoutDirectory } from './layout-directory.ts';
import { NameChanges } from './name-changes.ts';
import { NamedImages } from './named-images.ts';
import { hostPlatform, type Platform } from './oci.ts';
import { Puller, type PullOptions } from './pull.ts';
import type { PushedImage, PushOptions } from './push.ts';
import { parseReference, toCanonicalName, toRepositoryName } from './reference.ts';
import { RegistryEndpoints } from './registry-endpoints.ts';
import type { RegistryQuestions } from './registry-questions.ts';
import { readTar } from './tar-reader.ts';
import { TransferSlots } from './transfer-slots.ts';
import { UnpackWorkers } from './unpack-workers.ts';

/** Opens the store, tidying up what a killed process left. */
export async function openImages(options: ImageStoreOptions): Promise<ImageStore> {
  const workers = new UnpackWorkers(options.workers);
  try {
    const content = await ContentStore.open(join(options.dataDir, 'content'));
    const index = await ImageIndex.open(join(options.dataDir, 'images'), options.onChange);
    const layers = await LayerStore.open({
      dir: join(options.dataDir, 'layers'),
      workers,
      log: options.log,
      limits: options.unpackLimits,
      ...(options.bootId !== undefined ? { bootId: options.bootId } : {}),
    });
    const store = new LocalImageStore(options, workers, content, index, layers);
    await store.recover();
    return store;
  } catch (error) {
    await workers[Symbol.asyncDispose]();
    throw error;
  }
}

const BLOCK_BYTES = 4096;

class LocalImageStore implements ImageStore {
  readonly content: ContentStore;
  readonly #index: ImageIndex;
  readonly #layers: LayerStore;
  readonly #workers: UnpackWorkers;
  readonly #puller: Puller;
  readonly #endpoints: RegistryEndpoints;
  /** Transfers of all pulls and pushes together. */
  readonly #slots: TransferSlots;
  readonly #options: ImageStoreOptions;
  readonly #packageCache: string;
  readonly #platform: Platform;
  readonly #named: NamedImages;
  readonly #records: ImageRecords;
  readonly #collector: Collector;
  readonly #names: NameChanges;
  #leftGoes: Disposable | undefined;

  constructor(options: ImageStoreOptions, workers: UnpackWorkers, content: ContentStore, index: ImageIndex, layers: LayerStore) {
    const { hosts = {}, clock = systemClock, platform = hostPlatform(), isInUse = () => false } = options;
    this.content = content;
    this.#index = index;
    this.#named = new NamedImages(index, content);
    this.#layers = layers;
    this.#records = new ImageRecords({ named: this.#named, layers, isInUse });
    this.#collector = new Collector({ content, index, named: this.#named, layers });
    this.#workers = workers;
    this.#packageCache = join(options.dataDir, 'packages');
    this.#platform = platform;
    this.#names = new NameChanges({ index, named: this.#named, clock, isInUse });
    this.#options = options;
    this.#slots = new TransferSlots({ count: TRANSFERS, most: MOST_TRANSFERS, clock });
    this.#endpoints = new RegistryEndpoints(hosts, options.registryConfig ?? join(options.dataDir, 'certs.d'));
    this.#puller = new Puller({
      content,
      layers,
      endpoints: this.#endpoints,
      slots: this.#slots,
      platform,
      clock,
      onLapse: () => void this.#collector.collect().catch(() => {}),
      ...(options.proxy ? { proxy: options.proxy } : {}),
    });
  }

  /** Goes on after a killed process. What it brought in and did not name is kept for who tries again soon. */
  async recover(): Promise<void> {
    await this.#setAlteredAside();
    if (this.content.wasCutOff || this.#layers.wasCutOff)
      this.#leftGoes = (this.#options.clock ?? systemClock).after(KEPT_MS, () => void this.#collector.collect().catch(() => {}));
  }

  /** Names whose records the disk altered are lost; what they stood for is not. */
  async #setAlteredAside(): Promise<void> {
    const found = [...this.#index.foundAltered];
    if (found.length === 0) return;
    const { keepNameless } = await import('./nameless-images.ts');
    const kept = await keepNameless({ content: this.content, index: this.#index, named: this.#named, names: this.#names });
    await this.#index.setAside();
    for (const [file, why] of found) this.#options.log.error('the record of an image name was altered on disk', { file, why });
    this.#options.log.warn('images stay that no name tells of any more: pull, load or tag them', { images: kept });
  }

  async pull(reference: string, options: PullOptions = {}): Promise<ImageRecord> {
    const parsed = parseReference(reference);
    const pulled = this.#puller.pull(parsed, options, async ({ target, manifest }) => {
      const name = toCanonicalName(parsed);
      await this.#names.give(name, target, manifest);
      if (parsed.digest === undefined) await this.#names.give(`${toRepositoryName(parsed)}@${target.digest}`, target, manifest);
      return await this.inspect(name);
    });
    try {
      return await pulled;
    } catch (error) {
      // A collection that fails too says less than the pull.
      await this.#collector.collect().catch(() => {});
      throw toDiskError(error, `${reference} can't be pulled`, this.#options.dataDir);
    }
  }

  async push(name: string, options: PushOptions = {}): Promise<PushedImage[]> {
    const parsed = parseReference(name);
    const entries = options.allTags ? this.#named.tagsOf(parsed) : [this.#named.entryOf(name)];
    const { Pusher } = await import('./push.ts');
    const pusher = new Pusher({
      content: this.content,
      endpoints: this.#endpoints,
      slots: this.#slots,
      repositoriesWith: (registry, digest) => this.#named.repositoriesWith(registry, digest),
      ...(this.#options.proxy ? { proxy: this.#options.proxy } : {}),
    });
    const pushed: PushedImage[] = [];
    for (const entry of entries) pushed.push(await pusher.push(parseReference(entry.name), entry, options));
    return pushed;
  }

  async registries(): Promise<RegistryQuestions> {
    const { RegistryQuestions } = await import('./registry-questions.ts');
    const { clock, proxy } = this.#options;
    return new RegistryQuestions({ endpoints: this.#endpoints, clock, proxy });
  }

  pin(reference: string, isPinned = true): Promise<void> {
    return this.#names.pin(reference, isPinned);
  }

  async verify(options: VerifyOptions = {}): Promise<VerifyReport> {
    const { verifyContent } = await import('./verify.ts');
    const report = await verifyContent({ content: this.content, index: this.#index, named: this.#named, log: this.#options.log }, options);
    this.#named.forget();
    return report;
  }

  async load(source: LoadSource, options: LoadOptions = {}): Promise<ImageRecord[]> {
    // What an archive held besides its images, or all of it when it was refused, goes at once.
    try {
      return await this.#load(source, options);
    } catch (error) {
      throw toDiskError(error, "the archive can't be loaded", this.#options.dataDir);
    } finally {
      await this.#collector.collect();
    }
  }

  async #load(source: LoadSource, options: LoadOptions): Promise<ImageRecord[]> {
    using lease = this.content.lease();
    const { signal, onBytes, platform = this.#platform, unpack = true } = options;
    const early = new EarlyLayers(digest => this.#layers.ensure(digest, this.content.path(digest)));
    try {
      const archived = await readArchive(await entriesOf(source), {
        content: this.content,
        lease,
        platform,
        requiredPlatform: options.platform,
        ...(signal ? { signal } : {}),
        ...(onBytes ? { onBytes } : {}),
        ...(unpack ? { onTar: digest => early.begin(digest) } : {}),
      });
      return await this.#adopt(archived, options, lease);
    } finally {
      await early.settled();
    }
  }

  async adopt(images: ArchivedImage[], options: LoadOptions = {}): Promise<ImageRecord[]> {
    using lease = this.content.lease();
    return await this.#adopt(images, options, lease);
  }

  async commitLayer(directory: string, { takes = false, signal, ...options }: CommitLayerOptions): Promise<CommittedLayer> {
    const blobPath = this.content.temporaryPath();
    try {
      const { diffId, sizeBytes, entries } = await this.#layers.commit({
        source: directory,
        blobPath,
        takes,
        signal,
        ...options,
      });
      await this.content.adopt(blobPath, diffId, options.lease);
      return { diffId, digest: diffId, sizeBytes, entries };
    } catch (error) {
      await rm(blobPath, { force: true });
      throw toDiskError(error, `no layer can be made of ${directory}`, this.#options.dataDir);
    }
  }

  layerDirectory(diffId: Digest): string {
    return this.#layers.directory(diffId);
  }

  async assemble(file: string, options: Partial<AssembleOptions> = {}) {
    const { assembleImage } = await import('./assemble.ts');
    using lease = this.content.lease();
    const { image, packages, lockPath } = await assembleImage(file, this.content, lease, {
      cacheDir: this.#packageCache,
      ...(this.#options.clock ? { clock: this.#options.clock } : {}),
      ...options,
    });
    const [record] = await this.#adopt([image], {}, lease);
    return { record: record!, packages, lockPath };
  }

  async save(references: string[]): Promise<Readable> {
    using held = new DisposableStack();
    const lease = held.use(this.content.lease());
    // In turn with removals, so that nothing goes before it is leased.
    const images = await this.#names.inTurn(() => this.#records.toArchive(references, lease));
    const stream = Readable.from(writeArchive(images, this.content), { objectMode: false });
    const kept = held.move();
    stream.once('close', () => kept.dispose());
    return stream;
  }

  list(): Promise<ImageRecord[]> {
    return this.#records.list();
  }

  inspect(reference: string): Promise<ImageRecord> {
    return this.#records.inspect(reference);
  }

  tag(reference: string, newName: string): Promise<void> {
    return this.#names.tag(reference, newName);
  }

  async remove(reference: string, options: RemoveOptions = {}): Promise<RemoveResult> {
    const { id, untagged, isGone } = await this.#names.remove(reference, options);
    // Not in turn: a start of a container must not wait until gigabytes are gone.
    const { deleted, freedBytes } = await this.#collector.collect();
    return { untagged, deleted: isGone ? [id, ...deleted.filter(digest => digest !== id)] : [], freedBytes };
  }

  async diskUsage(): Promise<DiskUsage> {
    const layers = await this.#layers.usage();
    const blobs = await this.content.list();
    const sizes = await Promise.all(blobs.map(digest => this.content.size(digest)));
    return {
      bytes: layers.bytes + sizes.reduce<number>((sum, size) => sum + Math.ceil((size ?? 0) / BLOCK_BYTES) * BLOCK_BYTES, 0),
      inodes: layers.inodes + blobs.length,
    };
  }

  async prune({ untagged = true }: { untagged?: boolean } = {}): Promise<{ deleted: Digest[]; freedBytes: number }> {
    const gone = untagged ? await this.#names.removeUntagged() : [];
    const { deleted, freedBytes } = await this.#collector.collect({ begun: true });
    const quarantinedBytes = await this.content.quarantine.clear();
    await this.#index.forgetAltered();
    return { deleted: [...gone, ...deleted.filter(digest => !gone.includes(digest))], freedBytes: freedBytes + quarantinedBytes };
  }

  async ensureUnpacked(reference: string): Promise<string[]> {
    const { entry, release } = await this.#names.handOut(reference);
    try {
      using lease = this.content.lease();
      await this.#unpack(entry.manifest.digest, lease);
      return this.#records.directories((await this.#named.read(entry.manifest.digest)).config);
    } finally {
      // Whoever asked notes its use as soon as it has the answer; a removal looks only after that.
      setImmediate(release);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leftGoes?.[Symbol.dispose]();
    const pulls = this.#puller[Symbol.asyncDispose]();
    await this.#workers[Symbol.asyncDispose]();
    await pulls;
    await this.#collector.settled();
  }

  async #adopt(images: ArchivedImage[], { unpack = true, onLoaded }: LoadOptions, lease: Lease): Promise<ImageRecord[]> {
    const records: ImageRecord[] = [];
    for (const { names, target, manifest } of images) {
      if (unpack) await this.#unpack(manifest.digest, lease);
      for (const name of names) await this.#names.give(name, target, manifest);
      const id = (await this.#named.read(manifest.digest)).manifest.config.digest;
      if ((await this.#named.entriesOf(id)).length === 0) await this.#names.give(untaggedName(manifest.digest), target, manifest);
      records.push(await this.#records.of(await this.#named.entriesOf(id)));
      onLoaded?.(id, names);
    }
    return records;
  }

  async #unpack(manifestDigest: Digest, lease: Lease): Promise<void> {
    const { manifest, config } = await this.#named.read(manifestDigest);
    for (const digest of [manifest.config.digest, ...manifest.layers.map(layer => layer.digest), ...config.rootfs.diff_ids])
      lease.add(digest);
    const layers = config.rootfs.diff_ids.map((diffId, i) => this.#unpackLayer(diffId, manifest.layers[i]!.digest));
    // All of them end before a failure is told: nothing half-made is left, and the lease outlasts them.
    for (const outcome of await Promise.allSettled(layers)) if (outcome.status === 'rejected') throw outcome.reason;
  }

  /** @throws NotFound when the layer's blob is not here or corrupt: it must be pulled again */
  async #unpackLayer(diffId: Digest, digest: Digest): Promise<void> {
    try {
      await this.#layers.ensure(diffId, this.content.path(digest));
    } catch (error) {
      if ((await this.content.verify(digest)) === 'right')
        throw toDiskError(error, `the layer ${digest} can't be unpacked`, this.#options.dataDir);
      throw await this.content.missing(digest, 'the layer');
    }
  }
}

/** Layers that are unpacked while the rest of their archive still comes. What fails is tried again when it is known to be a layer. */
class EarlyLayers {
  readonly #unpack: (diffId: Digest) => Promise<unknown>;
  readonly #under = new Set<Promise<unknown>>();

  constructor(unpack: (diffId: Digest) => Promise<unknown>) {
    this.#unpack = unpack;
  }

  begin(digest: Digest): void {
    if (this.#under.size >= MOST_EARLY_LAYERS) return;
    const unpacking = this.#unpack(digest).catch(() => {});
    this.#under.add(unpacking);
    void unpacking.then(() => this.#under.delete(unpacking));
  }

  async settled(): Promise<void> {
    await Promise.all(this.#under);
  }
}

const MOST_EARLY_LAYERS = 4;

/** Downloads and uploads of all pulls and pushes together. */
const TRANSFERS = 8;
/** Those included that do not get on. */
const MOST_TRANSFERS = 64;

/** A stream or file is an archive; a directory is a layout. */
async function entriesOf(source: LoadSource): Promise<AsyncIterable<ArchiveEntry>> {
  if (typeof source === 'string' && (await stat(source)).isDirectory()) return readLayoutDirectory(source);
  return readTar(
    decompressed(typeof source === 'string' ? spending(createReadStream(source, { highWaterMark: 256 * 1024 })) : source, 'the archive'),
  );
}

export type {
  CommitLayerOptions,
  CommittedLayer,
  ImageRecord,
  ImageStore,
  ImageStoreOptions,
  LoadOptions,
  LoadSource,
  RemoveOptions,
  RemoveResult,
  VerifyOptions,
  VerifyReport,
} from './image-store.ts';
