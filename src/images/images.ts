import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type Clock, systemClock } from '#base/clock.ts';
import { isUmiakError, UmiakError } from '#base/errors.ts';
import { type ArchivedImage, type ArchiveEntry, readArchive } from './archive-reader.ts';
import { type ImageToArchive, writeArchive } from './archive-writer.ts';
import type { AssembleOptions } from './assemble.ts';
import { ContentStore, type Lease } from './content-store.ts';
import { decompressed } from './decompress.ts';
import type { Digest } from './digest.ts';
import { toDiskError } from './durable.ts';
import { HandedOut } from './handed-out.ts';
import { ImageIndex, type IndexEntry } from './image-index.ts';
import { planRemoval, type RemovalPlan, untaggedName } from './image-removal.ts';
import type {
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
import { type DiskUsage, LayerStore } from './layer-store.ts';
import { readLayoutDirectory } from './layout-directory.ts';
import { isTag, NamedImages, nameOf } from './named-images.ts';
import { type Descriptor, hostPlatform, type ImageConfig, type Platform } from './oci.ts';
import { Puller, type PullOptions } from './pull.ts';
import type { PushedImage, PushOptions } from './push.ts';
import { parseReference, toCanonicalName, toRepositoryName } from './reference.ts';
import { RegistryEndpoints } from './registry-endpoints.ts';
import { Slots } from './slots.ts';
import { readTar } from './tar-reader.ts';
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
    return new LocalImageStore(options, workers, content, index, layers);
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
  readonly #slots = new Slots(MOST_TRANSFERS);
  readonly #options: ImageStoreOptions;
  readonly #packageCache: string;
  readonly #clock: Clock;
  readonly #platform: Platform;
  readonly #isInUse: (imageId: Digest) => boolean;
  readonly #named: NamedImages;
  readonly #handedOut = new HandedOut();
  /** Collections run one after another. */
  #collecting: Promise<unknown> = Promise.resolve();
  /** So do changes of names, which read names first. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(options: ImageStoreOptions, workers: UnpackWorkers, content: ContentStore, index: ImageIndex, layers: LayerStore) {
    const { hosts = {}, clock = systemClock, platform = hostPlatform(), isInUse = () => false } = options;
    this.content = content;
    this.#index = index;
    this.#named = new NamedImages(index, content);
    this.#layers = layers;
    this.#workers = workers;
    this.#packageCache = join(options.dataDir, 'packages');
    this.#clock = clock;
    this.#platform = platform;
    this.#isInUse = isInUse;
    this.#options = options;
    this.#endpoints = new RegistryEndpoints(hosts, options.registryConfig ?? join(options.dataDir, 'certs.d'));
    this.#puller = new Puller({
      content,
      layers,
      endpoints: this.#endpoints,
      slots: this.#slots,
      platform,
      clock,
      onLapse: () => void this.#collect().catch(() => {}),
      ...(options.proxy ? { proxy: options.proxy } : {}),
    });
  }

  async pull(reference: string, options: PullOptions = {}): Promise<ImageRecord> {
    const parsed = parseReference(reference);
    const pulled = this.#puller.pull(parsed, options, async ({ target, manifest }) => {
      const name = toCanonicalName(parsed);
      await this.#nameInTurn(name, target, manifest);
      if (parsed.digest === undefined) await this.#nameInTurn(`${toRepositoryName(parsed)}@${target.digest}`, target, manifest);
      return await this.inspect(name);
    });
    try {
      return await pulled;
    } catch (error) {
      // A collection that fails too says less than the pull.
      await this.#collect().catch(() => {});
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

  pin(reference: string, isPinned = true): Promise<void> {
    return this.#inTurn(async () => {
      for (const { pinned: _, ...entry } of await this.#named.findAll(reference))
        await this.#index.set({ ...entry, ...(isPinned ? { pinned: true } : {}) });
    });
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
      await this.#collect();
    }
  }

  async #load(source: LoadSource, options: LoadOptions): Promise<ImageRecord[]> {
    using lease = this.content.lease();
    const { signal, onBytes } = options;
    const archived = await readArchive(await entriesOf(source), {
      content: this.content,
      lease,
      platform: this.#platform,
      ...(signal ? { signal } : {}),
      ...(onBytes ? { onBytes } : {}),
    });
    return await this.#adopt(archived, options, lease);
  }

  async adopt(images: ArchivedImage[], options: LoadOptions = {}): Promise<ImageRecord[]> {
    using lease = this.content.lease();
    return await this.#adopt(images, options, lease);
  }

  async assemble(file: string, options: Partial<AssembleOptions> = {}) {
    const { assembleImage } = await import('./assemble.ts');
    using lease = this.content.lease();
    const { image, packages, lockPath } = await assembleImage(file, this.content, lease, {
      cacheDir: this.#packageCache,
      clock: this.#clock,
      ...options,
    });
    const [record] = await this.#adopt([image], {}, lease);
    return { record: record!, packages, lockPath };
  }

  async save(references: string[]): Promise<Readable> {
    const lease = this.content.lease();
    const images = new Map<Digest, ImageToArchive>();
    for (const reference of references) {
      const { name, manifest: descriptor } = (await this.#named.findAll(reference))[0]!;
      const { manifest } = await this.#named.read(descriptor.digest);
      for (const blob of [descriptor, manifest.config, ...manifest.layers]) lease.add(blob.digest);
      const image = images.get(descriptor.digest) ?? { descriptor, manifest, names: [] };
      if (isTag(name) && name === nameOf(reference) && !image.names.includes(name)) image.names.push(name);
      images.set(descriptor.digest, image);
    }
    const stream = Readable.from(writeArchive([...images.values()], this.content), { objectMode: false });
    stream.once('close', () => lease[Symbol.dispose]());
    return stream;
  }

  async list(): Promise<ImageRecord[]> {
    const records = await Promise.all([...(await this.#named.byId()).values()].map(entries => this.#toRecord(entries).catch(damaged)));
    return records.filter(record => record !== undefined);
  }

  async inspect(reference: string): Promise<ImageRecord> {
    const entry = (await this.#named.findAll(reference))[0]!;
    return await this.#toRecord(await this.#named.entriesOf(await this.#named.idOf(entry)));
  }

  tag(reference: string, newName: string): Promise<void> {
    return this.#inTurn(() => this.#tag(reference, newName));
  }

  async remove(reference: string, options: RemoveOptions = {}): Promise<RemoveResult> {
    const { id, untagged, isGone } = await this.#inTurn(() => this.#removeNames(reference, options));
    // Not in turn: a start of a container must not wait until gigabytes are gone.
    const { deleted, freedBytes } = await this.#collect();
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
    const gone = untagged ? await this.#inTurn(() => this.#removeUntagged()) : [];
    const { deleted, freedBytes } = await this.#collect({ begun: true });
    const quarantinedBytes = await this.content.quarantine.clear();
    return { deleted: [...gone, ...deleted.filter(digest => !gone.includes(digest))], freedBytes: freedBytes + quarantinedBytes };
  }

  async #tag(reference: string, newName: string): Promise<void> {
    const parsed = parseReference(newName);
    if (parsed.digest !== undefined)
      throw new UmiakError('Invalid', `${newName}: an image is tagged with a name and a tag, not with a digest`);
    const { target, manifest } = (await this.#named.findAll(reference))[0]!;
    await this.#name(toCanonicalName(parsed), target, manifest);
  }

  async #removeNames(reference: string, { force = false }: RemoveOptions): Promise<RemovalPlan & { id: Digest }> {
    const found = await this.#named.findAll(reference);
    const id = await this.#named.idOf(found[0]!);
    const byName = this.#index.get(nameOf(reference)) !== undefined;
    const pinned = found.find(entry => entry.pinned);
    if (pinned !== undefined && !force)
      throw new UmiakError('Conflict', `image ${reference} is pinned as ${pinned.name}`, {
        details: { kind: 'image', name: reference },
        hint: 'Unpin it first (umiak image unpin), or use force.',
      });
    const plan: RemovalPlan = planRemoval({
      reference,
      id,
      ...(byName ? { name: nameOf(reference) } : {}),
      entries: await this.#named.entriesOf(id),
      isInUse: await this.#isUsed(id),
      force,
    });
    if (plan.keepAs !== undefined) await this.#index.set({ ...plan.keepAs, updatedAtMs: this.#clock.now() });
    for (const name of plan.names) await this.#index.delete(name);
    return { ...plan, id };
  }

  async ensureUnpacked(reference: string): Promise<string[]> {
    // In turn with removals, so that they see it begin.
    const { manifest, release } = await this.#inTurn(async () => {
      const entry = (await this.#named.findAll(reference))[0]!;
      return { manifest: entry.manifest, release: this.#handedOut.begin(await this.#named.idOf(entry)) };
    });
    try {
      using lease = this.content.lease();
      await this.#unpack(manifest.digest, lease);
      return this.#directories((await this.#named.read(manifest.digest)).config);
    } finally {
      // Whoever asked notes its use as soon as it has the answer; a removal looks only after that.
      setImmediate(release);
    }
  }

  /** Whether a container needs the image, those included that are just being made. */
  async #isUsed(id: Digest): Promise<boolean> {
    await this.#handedOut.settled(id);
    return this.#isInUse(id);
  }

  /** Takes away the images that have no tag, no pin and no use. */
  async #removeUntagged(): Promise<Digest[]> {
    const gone: Digest[] = [];
    for (const [id, entries] of await this.#named.byId()) {
      if (entries.some(({ name, pinned }) => pinned || isTag(name)) || (await this.#isUsed(id))) continue;
      for (const { name } of entries) await this.#index.delete(name);
      gone.push(id);
    }
    return gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pulls = this.#puller[Symbol.asyncDispose]();
    await this.#workers[Symbol.asyncDispose]();
    await pulls;
    await this.#collecting;
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const done = this.#changing.then(change);
    this.#changing = done.catch(() => {});
    return done;
  }

  async #adopt(images: ArchivedImage[], { unpack = true }: LoadOptions, lease: Lease): Promise<ImageRecord[]> {
    const records: ImageRecord[] = [];
    for (const { names, target, manifest } of images) {
      if (unpack) await this.#unpack(manifest.digest, lease);
      for (const name of names) await this.#nameInTurn(name, target, manifest);
      const id = (await this.#named.read(manifest.digest)).manifest.config.digest;
      if ((await this.#named.entriesOf(id)).length === 0) await this.#nameInTurn(untaggedName(manifest.digest), target, manifest);
      records.push(await this.#toRecord(await this.#named.entriesOf(id)));
    }
    return records;
  }

  #nameInTurn(name: string, target: Descriptor, manifest: Descriptor): Promise<void> {
    return this.#inTurn(() => this.#name(name, target, manifest));
  }

  /** Points a name at an image; the image that had it stays, without a name if that was its last. */
  async #name(name: string, target: Descriptor, manifest: Descriptor): Promise<void> {
    const before = this.#index.get(name);
    if (before !== undefined && before.manifest.digest !== manifest.digest) {
      const others = (await this.#named.entriesOf(await this.#named.idOf(before))).filter(entry => entry.name !== name);
      const { pinned: _, ...image } = before;
      if (others.length === 0) await this.#index.set({ ...image, name: untaggedName(image.manifest.digest) });
    }
    const { manifest: its, config } = await this.#named.read(manifest.digest);
    const needs = [its.config.digest, ...its.layers.map(layer => layer.digest), ...config.rootfs.diff_ids];
    await this.#index.set({
      name,
      target,
      manifest,
      updatedAtMs: this.#clock.now(),
      id: its.config.digest,
      needs,
      ...(before?.pinned ? { pinned: true } : {}),
    });
    if (isTag(name)) await this.#index.delete(untaggedName(manifest.digest));
  }

  async #unpack(manifestDigest: Digest, lease: Lease): Promise<void> {
    const { manifest, config } = await this.#named.read(manifestDigest);
    for (const digest of [manifest.config.digest, ...manifest.layers.map(layer => layer.digest), ...config.rootfs.diff_ids])
      lease.add(digest);
    await Promise.all(config.rootfs.diff_ids.map((diffId, i) => this.#unpackLayer(diffId, manifest.layers[i]!.digest)));
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

  /** Overlay refuses a directory twice; of a layer that comes twice only the upper one can be seen. */
  #directories(config: ImageConfig): string[] {
    const directories = [...new Set(config.rootfs.diff_ids.toReversed())].map(diffId => this.#layers.directory(diffId));
    return directories.length > 0 ? directories : [this.#layers.emptyDirectory];
  }

  async #toRecord(entries: IndexEntry[]): Promise<ImageRecord> {
    const newest = entries.reduce((a, b) => (b.updatedAtMs > a.updatedAtMs ? b : a));
    const { manifest, config } = await this.#named.read(newest.manifest.digest);
    const names = entries.map(({ name }) => name).sort();
    return {
      id: manifest.config.digest,
      manifestDigest: newest.manifest.digest,
      target: newest.target,
      repoTags: names.filter(isTag),
      repoDigests: names.filter(name => !isTag(name) && !name.startsWith('<none>')),
      sizeBytes: [manifest.config, ...manifest.layers].reduce((sum, { size }) => sum + size, 0),
      config,
      layers: this.#directories(config),
      taggedAtMs: newest.updatedAtMs,
      isInUse: this.#isInUse(manifest.config.digest),
      isPinned: entries.some(({ pinned }) => pinned === true),
    };
  }

  /** Removes blobs and layers that no name needs. Names of images in use stay (`remove`), so the index alone decides. */
  #collect({ begun = false } = {}): Promise<{ deleted: Digest[]; freedBytes: number }> {
    const collected = this.#collecting.then(async () => {
      using _ = this.content.beginCollection();
      const needed = new Set<Digest>();
      for (const entry of this.#index.list())
        for (const digest of [entry.target.digest, entry.manifest.digest, ...(await this.#named.needsOf(entry))]) needed.add(digest);
      const isNeeded = (digest: Digest) => needed.has(digest) || this.content.isLeased(digest);
      const layers = await this.#layers.collect(isNeeded);
      const { removed, freedBytes } = await this.content.collect(isNeeded, { begun });
      for (const digest of removed) this.#named.forget(digest);
      return { deleted: layers, freedBytes };
    });
    this.#collecting = collected.catch(() => {});
    return collected;
  }
}

/** Downloads and uploads of all pulls and pushes together. */
const MOST_TRANSFERS = 8;

/** An image whose documents the disk altered is not here until it is pulled again. */
function damaged(error: unknown): undefined {
  if (!isUmiakError(error, 'NotFound')) throw error;
}

/** A stream or file is an archive; a directory is a layout. */
async function entriesOf(source: LoadSource): Promise<AsyncIterable<ArchiveEntry>> {
  if (typeof source === 'string' && (await stat(source)).isDirectory()) return readLayoutDirectory(source);
  return readTar(
    decompressed(typeof source === 'string' ? createReadStream(source, { highWaterMark: 256 * 1024 }) : source, 'the archive'),
  );
}

export type {
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
