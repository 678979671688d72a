import type { Stats } from 'node:fs';
import { chmod, chown, lstat, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, type Log, messageOf, quantityValue, UmiakError } from '#base/index.ts';
import type { Client } from '#client/index.ts';
import type { Pod } from '#kinds/pod.ts';
import { MS_NODEV, MS_NOSUID, mount, umount } from '#linux/mount.ts';
import type { NodeFacts } from '../downward.ts';
import type { PreparedVolume, VolumeKeeper } from '../parts.ts';
import { type Payload, type PayloadFile, writeAtomically } from './atomic-writer.ts';
import type { ObjectSource } from './object-source.ts';
import { configMapFiles, downwardFiles, secretFiles, type Volume } from './payloads.ts';
import { TokenKeeper } from './tokens.ts';

export interface LocalVolumesOptions {
  /** `<dataDir>/volumes`: one directory a pod, by UID, and in it one a volume. */
  directory: string;
  client: Client;
  objects: ObjectSource;
  facts: NodeFacts;
  /** A source of the pod's volumes has changed: the volumes were written anew, or what was missing may be there. */
  onChange: (podUid: string) => void;
  clock: Clock;
  log: Log;
}

interface PodState {
  pod: Pod;
  prepared?: Promise<Map<string, PreparedVolume>>;
  refresh?: Disposable;
}

/** Volumes on this machine: emptyDir (disk or memory), hostPath, and those filled from the API, which follow their sources. */
export class LocalVolumes implements VolumeKeeper {
  readonly #options: LocalVolumesOptions;
  readonly #tokens: TokenKeeper;
  readonly #pods = new Map<string, PodState>();

  constructor(options: LocalVolumesOptions) {
    this.#options = options;
    this.#tokens = new TokenKeeper(options);
  }

  prepare(pod: Pod): Promise<Map<string, PreparedVolume>> {
    const { uid } = pod.metadata;
    const state: PodState = this.#pods.get(uid) ?? { pod };
    this.#pods.set(uid, state);
    const changed = state.pod !== pod && needsDownward(pod);
    state.pod = pod;
    if (!state.prepared || changed) {
      const preparing = this.#prepareAll(pod);
      state.prepared = preparing;
      preparing.catch(() => {
        if (state.prepared === preparing) delete state.prepared;
      });
    }
    return state.prepared;
  }

  async #prepareAll(pod: Pod): Promise<Map<string, PreparedVolume>> {
    const volumes = pod.spec.volumes ?? [];
    const made = await Promise.all(volumes.map(async volume => [volume.name, await this.#prepareOne(pod, volume)] as const));
    this.#scheduleRefresh(pod.metadata.uid);
    return new Map(made);
  }

  async #prepareOne(pod: Pod, volume: Volume): Promise<PreparedVolume> {
    const path = join(this.#options.directory, pod.metadata.uid, volume.name);
    if (volume.emptyDir) return this.#emptyDir(pod, path, volume.emptyDir);
    if (volume.hostPath) return hostPath(volume.hostPath);
    const payload = await this.#payloadOf(pod, volume);
    if (!payload) {
      const type = Object.keys(volume).find(key => key !== 'name') ?? 'unknown';
      throw new UmiakError('NotImplemented', `volume "${volume.name}" is of type ${type}, which this node does not have yet`, {
        hint: 'emptyDir, hostPath, configMap, secret, downwardAPI and projected volumes work.',
      });
    }
    await writeAtomically(path, owned(payload, pod));
    return { path, readOnly: true };
  }

  async #emptyDir(pod: Pod, path: string, { medium, sizeLimit }: NonNullable<Volume['emptyDir']>): Promise<PreparedVolume> {
    await mkdir(path, { recursive: true, mode: 0o755 });
    if (medium === 'Memory' && !(await isMountPoint(path))) {
      const size = sizeLimit === undefined ? '' : `,size=${quantityValue(sizeLimit)}`;
      mount('tmpfs', path, 'tmpfs', MS_NOSUID | MS_NODEV, `mode=1777${size}`);
    }
    await chmod(path, 0o777);
    const { fsGroup } = pod.spec.securityContext ?? {};
    if (fsGroup !== undefined) {
      await chown(path, 0, fsGroup);
      await chmod(path, 0o2777);
    }
    return { path };
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
    return this.#options.objects.configMap(metadata.namespace ?? '', name, metadata.uid, () => this.#sourceChanged(metadata.uid));
  }

  #secret({ metadata }: Pod, name: string) {
    return this.#options.objects.secret(metadata.namespace ?? '', name, metadata.uid, () => this.#sourceChanged(metadata.uid));
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
    const inMs = this.#tokens.refreshInMs(uid);
    state?.refresh?.[Symbol.dispose]();
    if (state && inMs !== undefined) state.refresh = this.#options.clock.after(inMs, () => this.#sourceChanged(uid));
  }

  async release(podUid: string): Promise<void> {
    const state = this.#pods.get(podUid);
    this.#pods.delete(podUid);
    state?.refresh?.[Symbol.dispose]();
    await state?.prepared?.catch(() => {});
    this.#tokens.forget(podUid);
    await this.#options.objects.release(podUid);
    await removeVolumes(join(this.#options.directory, podUid));
  }

  async sweep(livingUids: ReadonlySet<string>): Promise<void> {
    for (const uid of await readdir(this.#options.directory).catch(() => []))
      if (!livingUids.has(uid)) await removeVolumes(join(this.#options.directory, uid));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { refresh } of this.#pods.values()) refresh?.[Symbol.dispose]();
  }
}

/** Takes away a pod's volumes: memory ones are unmounted first, nothing is removed through a mount. */
async function removeVolumes(directory: string): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    const path = join(directory, name);
    while (await isMountPoint(path)) umount(path, { detach: true });
  }
  await rm(directory, { recursive: true, force: true });
}

async function isMountPoint(path: string): Promise<boolean> {
  const [here, above] = await Promise.all([lstat(path), lstat(join(path, '..'))]).catch(() => []);
  return here !== undefined && above !== undefined && here.dev !== above.dev;
}

const MUST_BE: Record<string, (is: Stats) => boolean> = {
  Directory: is => is.isDirectory(),
  File: is => is.isFile(),
  Socket: is => is.isSocket(),
  CharDevice: is => is.isCharacterDevice(),
  BlockDevice: is => is.isBlockDevice(),
};

async function hostPath({ path, type = '' }: NonNullable<Volume['hostPath']>): Promise<PreparedVolume> {
  let is = await stat(path).catch(() => undefined);
  if (!is && type === 'DirectoryOrCreate') await mkdir(path, { recursive: true, mode: 0o755 });
  else if (!is && type === 'FileOrCreate') await writeFile(path, '', { flag: 'a', mode: 0o644 });
  else if (!is && type === '') await mkdir(path, { recursive: true, mode: 0o755 });
  is ??= await stat(path).catch(() => undefined);
  const expected = type.replace('OrCreate', '');
  if (!is || (expected && !MUST_BE[expected]?.(is))) {
    throw new UmiakError('NotFound', `hostPath ${path} is no ${expected || 'directory or file'}`, {
      hint: 'See the type of the hostPath volume.',
    });
  }
  return { path };
}

/** `fsGroup` owns the files and may read them. */
function owned(payload: Payload, pod: Pod): Payload {
  const { fsGroup } = pod.spec.securityContext ?? {};
  if (fsGroup === undefined) return payload;
  return new Map([...payload].map(([path, file]) => [path, { ...file, gid: fsGroup, mode: file.mode | 0o040 }]));
}

/** A token is for the pod's user alone, where all its containers run as one; else for whoever may read the volume. */
function tokenAccess({ spec }: Pod, mode: number): Pick<PayloadFile, 'mode' | 'uid'> {
  const users = new Set(
    [...(spec.initContainers ?? []), ...spec.containers].map(
      ({ securityContext }) => securityContext?.runAsUser ?? spec.securityContext?.runAsUser,
    ),
  );
  const [user] = users;
  return users.size === 1 && user !== undefined ? { mode: 0o600, uid: user } : { mode };
}

function needsDownward({ spec }: Pod): boolean {
  return (spec.volumes ?? []).some(({ downwardAPI, projected }) => downwardAPI || projected?.sources?.some(source => source.downwardAPI));
}
