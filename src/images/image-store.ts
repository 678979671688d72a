import type { Readable } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { ArchivedImage } from './archive-reader.ts';
import type { AssembleOptions } from './assemble.ts';
import type { ContentStore, Lease } from './content-store.ts';
import type { LockedPackage } from './debian-packages.ts';
import type { Digest } from './digest.ts';
import type { DiskUsage } from './layer-store.ts';
import type { Descriptor, ImageConfig, Platform } from './oci.ts';
import type { OwnerRanges } from './owners.ts';
import type { ProxySettings } from './proxy.ts';
import type { PullOptions } from './pull.ts';
import type { PushedImage, PushOptions } from './push.ts';
import type { QuarantinedBlob } from './quarantine.ts';
import type { RegistryQuestions } from './registry-questions.ts';
import type { RegistryHosts } from './registry-session.ts';
import type { UnpackLimits } from './unpack-limits.ts';
import type { UnpackWorkersOptions } from './unpack-workers.ts';

export interface ImageStoreOptions {
  /** `content`, `images` and `layers` lie below it; one process owns it. */
  dataDir: string;
  log: Log;
  clock?: Clock;
  /** What is special about single registries, by host[:port]. */
  hosts?: RegistryHosts;
  /** Folder with registries' `hosts.toml`, as containerd knows it; by default `certs.d` in `dataDir`. */
  registryConfig?: string;
  platform?: Platform;
  /** By default what the environment says. */
  proxy?: ProxySettings;
  /** Whether a container needs the image; its layers then stay, whatever is removed. */
  isInUse?: (imageId: Digest) => boolean;
  workers?: UnpackWorkersOptions;
  /** Called after each change of a name: an image came, went or is called otherwise. */
  onChange?: () => void;
  /** What one layer may take when it is unpacked; by default all of the disk but what is kept free. */
  unpackLimits?: UnpackLimits;
  /** For tests of a reboot. */
  bootId?: string;
}

/** An image that is here. Names are canonical; `toFamiliarName` gives docker's short form. */
export interface ImageRecord {
  /** The digest of the configuration, docker's "image id". */
  id: Digest;
  manifestDigest: Digest;
  /** What registries and archives call it: its manifest or the index that holds it. */
  target: Descriptor;
  repoTags: string[];
  repoDigests: string[];
  /** Configuration and layers as they are stored. */
  sizeBytes: number;
  config: ImageConfig;
  /** Its layers as they are stored, the lowest first. */
  blobs: readonly Pick<Descriptor, 'digest' | 'size'>[];
  /** Lower directories, top first, each once, never none. There only after `ensureUnpacked`. */
  layers: string[];
  /** When the newest of its names was given, milliseconds since the epoch. */
  taggedAtMs: number;
  /** Whether a container needed it just now. */
  isInUse: boolean;
  /** Not to be pruned, nor removed but by force. */
  isPinned: boolean;
}

export interface VerifyOptions {
  signal?: AbortSignal;
  onProgress?: (checked: number, of: number) => void;
}

/** What a look at every byte of the content store found. */
export interface VerifyReport {
  checked: number;
  sizeBytes: number;
  /** What was found corrupt just now. */
  corrupt: Digest[];
  /** Names whose content is not whole; a pull of any makes it so again. */
  damaged: { name: string; missing: Digest[] }[];
  quarantine: QuarantinedBlob[];
}

export interface LoadOptions {
  signal?: AbortSignal;
  onBytes?: (total: number) => void;
  /** An image is there, by the names that it has in the archive. */
  onLoaded?: (id: Digest, names: readonly string[]) => void;
  /** Unpack at once, so that a first container starts quickly; by default true. */
  unpack?: boolean;
  /** Of an index; by default this machine's. */
  platform?: Platform;
}

export interface RemoveOptions {
  /** Remove all names of an id, also a pinned one; and the name of an image in use, whose content then stays. */
  force?: boolean;
}

export interface RemoveResult {
  untagged: string[];
  /** Image ids and layers that are gone. */
  deleted: Digest[];
  /** What their going gave back to the disk. */
  freedBytes: number;
}

export interface CommitLayerOptions {
  lease: Lease;
  /** The caller has no more use for the directory. */
  takes?: boolean;
  /** The directory is a whole root file system, made of these layers, top first: what differs is the new layer. Not with `takes`. */
  layers?: readonly string[];
  /** Files and directories that are left out while they are empty: made to mount something on. */
  mountPoints?: readonly string[];
  /** Of a container with a user namespace: its owners on the disk become those inside. */
  owners?: OwnerRanges;
  signal?: AbortSignal;
}

export interface CommittedLayer {
  diffId: Digest;
  digest: Digest;
  /** Of the blob. */
  sizeBytes: number;
  /** 0: nothing was changed, and the layer need not be part of an image. */
  entries: number;
}

export type LoadSource = string | AsyncIterable<Uint8Array>;

/** The images of this machine: pulled, loaded or assembled, named, unpacked, removed. What it promised is on the disk. */
export interface ImageStore extends AsyncDisposable {
  readonly content: ContentStore;
  /** Fetches an image by tag or digest and unpacks it; one download and one unpack for whoever asks at the same time. */
  pull(reference: string, options?: PullOptions): Promise<ImageRecord>;
  /** Sends an image to the registry that its name says, or all tags of its repository. Returns the tags as they stand there now. */
  push(name: string, options?: PushOptions): Promise<PushedImage[]>;
  /** What can be asked of registries besides images. */
  registries(): Promise<RegistryQuestions>;
  /** Keeps a name, or all names of an id, from being pruned; or no longer. On disk when it resolves. */
  pin(reference: string, isPinned?: boolean): Promise<void>;
  /** Reads every blob; what is not what its name says goes to the quarantine. */
  verify(options?: VerifyOptions): Promise<VerifyReport>;
  /** Takes in an archive (stream or path) or an OCI layout directory (path). */
  load(source: LoadSource, options?: LoadOptions): Promise<ImageRecord[]>;
  /** Gives names to images that are in the content store already, as builder and assembler do. */
  adopt(images: ArchivedImage[], options?: LoadOptions): Promise<ImageRecord[]>;
  /**
   * Makes a layer of a directory in overlay's upper form (whiteouts 0:0, `trusted.overlay.opaque`), in a worker thread, and holds it by `lease`
   * until an image that was `adopt`ed names it. Its blob is not compressed: media type `oci.image.layer.v1.tar`, `digest` = `diffId`.
   * With `takes` the directory is given away: it is moved into the layer store as the layer's unpacked form, and is gone when this resolves
   * (not when it rejects). Without, it stays as it is, may be in use, and `adopt` unpacks the blob.
   */
  commitLayer(directory: string, options: CommitLayerOptions): Promise<CommittedLayer>;
  /** Where a layer that was committed or unpacked lies: a lower directory. */
  layerDirectory(diffId: Digest): string;
  /** Makes an image from packages and files by a declarative file, see `AssembleFile`. */
  assemble(file: string, options?: Partial<AssembleOptions>): Promise<{ record: ImageRecord; packages: LockedPackage[]; lockPath: string }>;
  /** A docker-compatible archive, which is an OCI layout too. Images given by name keep that name, those given by id none. */
  save(references: string[]): Promise<Readable>;
  list(): Promise<ImageRecord[]>;
  /** By name, by id, by the beginning of an id. @throws NotFound. */
  inspect(reference: string): Promise<ImageRecord>;
  tag(reference: string, newName: string): Promise<void>;
  remove(reference: string, options?: RemoveOptions): Promise<RemoveResult>;
  /** The image's lower directories, top first, unpacked if they were not. */
  ensureUnpacked(reference: string): Promise<string[]>;
  /** Removes content that no image needs, what is in quarantine, and images without a name that nobody uses or pinned unless `untagged` is false. */
  prune(options?: { untagged?: boolean }): Promise<{ deleted: Digest[]; freedBytes: number }>;
  /** What blobs and layers take of the disk: noted when they came, not counted by walking through them. */
  diskUsage(): Promise<DiskUsage>;
}
