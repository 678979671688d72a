import { existsSync } from 'node:fs';
import { chmod, chown, lstat, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, type Log, messageOf, quantityValue, UmiakError } from '#base/index.ts';
import type { Client } from '#client/index.ts';
import type { Pod } from '#kinds/pod.ts';
import { ensureMemoryDirectory } from '#linux/memory-directory.ts';
import { MS_NODEV, MS_NOSUID, mount } from '#linux/mount.ts';
import { readMountTable } from '#linux/mount-table.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import type { NodeFacts } from '../downward.ts';
import type { PreparedVolume, VolumeKeeper } from '../parts.ts';
import { isFilled, type Payload, type PayloadFile, writeAtomically } from './atomic-writer.ts';
import type { ClaimVolumes } from './claim-volumes.ts';
import { makeDirectory, prepareHostPath } from './host-path.ts';
import { ImageVolumes, type ImageVolumesOptions } from './image-volumes.ts';
import type { ObjectSource, ObjectUse } from './object-source.ts';
import { configMapFiles, downwardFiles, secretFiles, tokenAccess, type Volume } from './payloads.ts';
import { TokenKeeper } from './tokens.ts';

export interface LocalVolumesOptions {
  /** `<dataDir>/volumes`: one directory a pod, by UID, and in it one a volume. */
  directory: string;
  client: Client;
  objects: Pick<ObjectSource, 'configMap' | 'secret' | 'release'>;
  /** Volumes that pods claim. */
  claims: Pick<ClaimVolumes, 'prepare' | 'release'>;
  /** Unpacks the images that volumes are made of. */
  images: ImageVolumesOptions['images'];
  facts: NodeFacts;
  /** A source of the pod's volumes has changed: the volumes were written anew, or what was missing may be there. */
  onChange: (podUid: string) => void;
  clock: Clock;
  log: Log;
}

/** No pod's UID. */
const MEMORY = '..memory';
const STALE_RETRY_MS = 10_000;

interface PodState {
  pod: Pod;
  /** What is there; absent when it must be looked at again. */
  prepared?: Promise<Map<string, PreparedVolume>>;
  /** All work on this pod's directory so far: one thing at a time. */
  work: Promise<unknown>;
  /** Some volume could not be filled anew and has old contents. */
  isStale?: boolean;
  refresh?: Disposable;
}

/** Volumes on this machine: emptyDir (disk or memory), hostPath, what claims are bound to, and those filled from the API, which follow their sources. */
export class LocalVolumes implements VolumeKeeper {
  readonly #options: LocalVolumesOptions;
  readonly #tokens: TokenKeeper;
  readonly #images: ImageVolumes;
  readonly #pods = new Map<string, PodState>();
  readonly #memory: string;
  #hasMemory = false;

  constructor(options: LocalVolumesOptions) {
    this.#options = options;
    this.#memory = join(options.directory, MEMORY);
    this.#tokens = new TokenKeeper(options);
    this.#images = new ImageVolumes(options);
  }

  prepare(pod: Pod): Promise<Map<string, PreparedVolume>> {
    const { uid } = pod.metadata;
    const state: PodState = this.#pods.get(uid) ?? { pod, work: Promise.resolve() };
    this.#pods.set(uid, state);
    const changed = state.pod !== pod && needsDownward(pod) && downwardSource(state.pod) !== downwardSource(pod);
    state.pod = pod;
    if (!state.prepared || changed) {
      const preparing = state.work.then(() => this.#prepareAll(state));
      state.prepared = preparing;
      state.work = preparing.catch(() => {
        if (state.prepared === preparing) delete state.prepared;
      });
    }
    return state.prepared;
  }

  async #prepareAll(state: PodState): Promise<Map<string, PreparedVolume>> {
    const { pod } = state;
    state.isStale = false;
    const { directory } = this.#options;
    const { uid } = pod.metadata;
    await makeDirectory(join(directory, uid), 0o750);
    // Those from images are mounted with the first container that wants them: a container waits for images, not for volumes.
    const volumes = (pod.spec.volumes ?? []).filter(({ image }) => !image);
    const made = await Promise.all(volumes.map(async volume => [volume.name, await this.#prepareOne(pod, volume)] as const));
    this.#scheduleRefresh(uid);
    return new Map(made);
  }

  async #prepareOne(pod: Pod, volume: Volume): Promise<PreparedVolume> {
    try {
      const path = this.directoryOf(pod.metadata.uid, volume.name);
      if (volume.emptyDir) return await prepareEmptyDir(path, volume.emptyDir, pod.spec.securityContext?.fsGroup);
      if (volume.hostPath) return await prepareHostPath(volume.hostPath);
      if (volume.persistentVolumeClaim || volume.ephemeral) return await this.#options.claims.prepare(pod, volume);
      const payload = await this.#payloadOf(pod, volume);
      if (!payload) {
        const type = Object.keys(volume).find(key => key !== 'name') ?? 'unknown';
        throw new UmiakError('NotImplemented', `volumes of type ${type} are not there yet`, {
          hint: 'emptyDir, hostPath, configMap, secret, downwardAPI, projected and image volumes work, and claims of local and hostPath volumes.',
        });
      }
      this.#ensureMemory();
      const filled = this.#filledPath(pod, volume);
      writeAtomically(filled, payload, pod.spec.securityContext?.fsGroup);
      return { path: filled, readOnly: true };
    } catch (error) {
      const kept = this.#keptContents(pod, volume, error);
      if (kept) return kept;
      const { reason, details, hint }: Partial<UmiakError> = error instanceof UmiakError ? error : {};
      throw new UmiakError(reason ?? 'InternalError', `MountVolume.SetUp failed for volume "${volume.name}" : ${messageOf(error)}`, {
        ...(details ? { details } : {}),
        ...(hint ? { hint } : {}),
        cause: error,
      });
    }
  }

  /** A volume that was filled once stays as it is while its source is away; containers that use it may go on and start again. */
  #keptContents(pod: Pod, volume: Volume, error: unknown): PreparedVolume | undefined {
    const { metadata } = pod;
    const path = this.#filledPath(pod, volume);
    if (!isFilled(path)) return undefined;
    const state = this.#pods.get(metadata.uid);
    if (state) state.isStale = true;
    this.#options.log.warn('a volume keeps its old contents', { pod: metadata.uid, volume: volume.name, error: messageOf(error) });
    return { path, readOnly: true };
  }

  /** Where a volume lies that the API fills: in memory, so that no Secret reaches a disk and filling it is quick. */
  #filledPath({ metadata }: Pod, { name }: Volume): string {
    return join(this.#memory, metadata.uid, name);
  }

  /** Mounted by whoever needs it first after a boot; it stays when this process ends, since containers look into it. */
  #ensureMemory(): void {
    if (!this.#hasMemory) ensureMemoryDirectory(this.#memory);
    this.#hasMemory = true;
  }

  /** The files of a volume that objects of the API fill; undefined for other types. */
  async #payloadOf(pod: Pod, volume: Volume): Promise<Payload | undefined> {
    if (volume.configMap) {
      const { name = '', items, optional, defaultMode = 0o644 } = volume.configMap;
      return configMapFiles(await this.#configMap(pod, name), name, { items, optional, mode: defaultMode });
    }
    if (volume.secret) {
      const { secretName = '', items, optional, defaultMode = 0o644 } = volume.secret;
      return secretFiles(await this.#secret(pod, secretName), secretName, { items, optional, mode: defaultMode });
    }
    if (volume.downwardAPI)
      return downwardFiles(pod, volume.downwardAPI.items ?? [], volume.downwardAPI.defaultMode ?? 0o644, this.#options.facts);
    return volume.projected ? this.#projected(pod, volume.projected) : undefined;
  }

  async #projected(pod: Pod, { sources = [], defaultMode: mode = 0o644 }: NonNullable<Volume['projected']>): Promise<Payload> {
    const parts = await Promise.all(
      sources.map(async ({ configMap, secret, downwardAPI, serviceAccountToken, ...others }): Promise<Map<string, PayloadFile>> => {
        if (configMap) {
          const { name = '', items, optional } = configMap;
          return configMapFiles(await this.#configMap(pod, name), name, { items, optional, mode });
        }
        if (secret) {
          const { name = '', items, optional } = secret;
          return secretFiles(await this.#secret(pod, name), name, { items, optional, mode });
        }
        if (downwardAPI) return downwardFiles(pod, downwardAPI.items ?? [], mode, this.#options.facts);
        if (serviceAccountToken) {
          const { audience, expirationSeconds = 3600, path } = serviceAccountToken;
          const token = await this.#tokens.token(pod, { audience, expirationSeconds });
          return new Map([[path, { content: Buffer.from(token), ...tokenAccess(pod, mode) }]]);
        }
        throw new UmiakError('NotImplemented', `projected volumes from ${Object.keys(others)[0] ?? 'nothing'} are not there yet`);
      }),
    );
    return new Map(parts.flatMap(part => [...part]));
  }

  #configMap({ metadata }: Pod, name: string) {
    return this.#options.objects.configMap(metadata.namespace ?? '', name, this.#use(metadata.uid));
  }

  #secret({ metadata }: Pod, name: string) {
    return this.#options.objects.secret(metadata.namespace ?? '', name, this.#use(metadata.uid));
  }

  #use(user: string): ObjectUse {
    return { user, purpose: 'volumes', changed: () => this.#sourceChanged(user) };
  }

  #sourceChanged(uid: string): void {
    const state = this.#pods.get(uid);
    if (!state) return;
    delete state.prepared;
    this.prepare(state.pod).then(
      () => this.#options.onChange(uid),
      error => {
        this.#options.log.debug('a volume could not be written anew', { pod: uid, error: messageOf(error) });
        this.#options.onChange(uid);
      },
    );
  }

  #scheduleRefresh(uid: string): void {
    const state = this.#pods.get(uid);
    state?.refresh?.[Symbol.dispose]();
    const spentInMs = this.#tokens.refreshInMs(uid) ?? Number.POSITIVE_INFINITY;
    const inMs = state?.isStale ? STALE_RETRY_MS : spentInMs;
    if (state && inMs !== Number.POSITIVE_INFINITY) state.refresh = this.#options.clock.after(inMs, () => this.#sourceChanged(uid));
  }

  mountImage(podUid: string, volume: string, imageId: string): Promise<PreparedVolume> {
    return this.#images.mount(podUid, volume, imageId);
  }

  /** Whether a volume is made of that image: then its layers must stay. */
  usesImage(imageId: string): boolean {
    return this.#images.uses(imageId);
  }

  directoryOf(podUid: string, volume: string): string {
    return join(this.#options.directory, podUid, volume);
  }

  async release(podUid: string): Promise<void> {
    const state = this.#pods.get(podUid);
    this.#pods.delete(podUid);
    // What waits for an object ends with its watch; what it then still asked for is released too.
    await this.#options.objects.release(podUid);
    await state?.work;
    await this.#options.objects.release(podUid);
    state?.refresh?.[Symbol.dispose]();
    this.#tokens.forget(podUid);
    this.#options.claims.release(podUid);
    await this.#images.settled(podUid);
    await this.#remove(podUid);
    this.#images.forget(podUid);
  }

  async sweep(livingUids: ReadonlySet<string>): Promise<void> {
    const there = await Promise.all([this.#options.directory, this.#memory].map(path => readdir(path).catch(() => [])));
    for (const uid of new Set(there.flat())) if (uid !== MEMORY && !livingUids.has(uid) && !this.#pods.has(uid)) await this.#remove(uid);
    await this.#images.adopt();
  }

  async #remove(podUid: string): Promise<void> {
    for (const directory of [this.#options.directory, this.#memory]) await removeVolumes(join(directory, podUid));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { refresh } of this.#pods.values()) refresh?.[Symbol.dispose]();
    this.#pods.clear();
  }
}

/** Takes away a pod's volumes: what is mounted in them is unmounted first, nothing is removed through a mount. */
async function removeVolumes(directory: string): Promise<void> {
  if (!existsSync(directory)) return; // the mount table is long where many pods run
  unmountBelow(directory);
  await rm(directory, { recursive: true, force: true });
}

/** Everybody's, or `fsGroup`'s, when it is made; afterwards it is its containers' own. */
async function prepareEmptyDir(
  path: string,
  { medium, sizeLimit }: NonNullable<Volume['emptyDir']>,
  fsGroup: number | undefined,
): Promise<PreparedVolume> {
  const mode = fsGroup === undefined ? 0o777 : 0o2777;
  if (medium === 'Memory') {
    await makeDirectory(path, 0o755);
    if (readMountTable().some(({ target }) => target === path)) return { path };
    const options = [`mode=${mode.toString(8)}`, ...(fsGroup === undefined ? [] : [`gid=${fsGroup}`])];
    if (sizeLimit !== undefined) options.push(`size=${quantityValue(sizeLimit)}`);
    mount('tmpfs', path, 'tmpfs', MS_NOSUID | MS_NODEV, options.join());
    return { path };
  }
  if (medium?.startsWith('HugePages')) return await prepareHugepages(path, { medium, mode, fsGroup });
  if (await lstat(path).catch(() => undefined)) return { path };
  const fresh = `${path}..new`;
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh);
  if (fsGroup !== undefined) await chown(fresh, 0, fsGroup);
  await chmod(fresh, mode);
  await rename(fresh, path);
  return { path };
}

/** `HugePages` is of the machine's own size, `HugePages-2Mi` of that one. @throws `Invalid` where there is none */
async function prepareHugepages(
  path: string,
  { medium, mode, fsGroup }: { medium: string; mode: number; fsGroup: number | undefined },
): Promise<PreparedVolume> {
  const size = medium.slice('HugePages-'.length);
  const options: string[] = [];
  if (size) options.push(`pagesize=${quantityValue(size)}`);
  if (fsGroup !== undefined) options.push(`gid=${fsGroup}`);
  await makeDirectory(path, 0o755);
  if (readMountTable().some(({ target }) => target === path)) return { path };
  try {
    mount('nodev', path, 'hugetlbfs', MS_NOSUID | MS_NODEV, options.join());
  } catch (cause) {
    throw new UmiakError('Invalid', `medium ${medium}: this node has no huge pages${size ? ` of ${size}` : ''}`, { cause });
  }
  await chmod(path, mode); // the option leaves out the bit by which files inherit the group
  return { path };
}

function needsDownward({ spec }: Pod): boolean {
  return (spec.volumes ?? []).some(({ downwardAPI, projected }) => downwardAPI || projected?.sources?.some(source => source.downwardAPI));
}

/** What of a living pod can change that a downward volume may show. */
function downwardSource({ metadata: { labels, annotations }, spec }: Pod): string {
  return JSON.stringify([labels, annotations, spec.containers.map(({ resources }) => resources)]);
}
