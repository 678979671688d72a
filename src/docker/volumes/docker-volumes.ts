import { basename, dirname } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { isUmiakError, UmiakError } from '#base/errors.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import type { Log } from '#base/log.ts';
import type { ImageStore } from '#images/image-store.ts';
import { diskUsage } from '#linux/disk-usage.ts';
import type { Events } from '../rooms.ts';
import { requireSource } from './bind-source.ts';
import type { ContainerMount, ContainerVolumes, MountsRequest, MountUse, PreparedMounts, VolumeUsers } from './container-mounts.ts';
import { parseLocalOptions } from './local-options.ts';
import { MountPreparation, type PreparedVolumes, unlessInUse, type VolumeWishes } from './mount-preparation.ts';
import { ANONYMOUS_LABEL } from './plan-mounts.ts';
import { VolumeFileSystems } from './volume-file-systems.ts';
import { fillVolume, removeLeftCopies } from './volume-filling.ts';
import { VolumeParts } from './volume-parts.ts';
import { checkVolumeName, newVolumeName, STAGING, type VolumeRecord, VolumeStore } from './volume-store.ts';

export interface DockerVolumesOptions {
  /** `<dataDir>/docker/volumes`. */
  directory: string;
  /** `<runDir>/docker/parts`: where parts of volumes are shown. */
  partsDirectory: string;
  /** Who uses volumes; asked when it matters, not before. */
  users: () => VolumeUsers;
  images: Pick<ImageStore, 'inspect' | 'ensureUnpacked'>;
  events: Events;
  /** Whether read-only mounts can be so with all below them. */
  canReadOnlyBelow: () => Promise<boolean>;
  clock: Clock;
  log: Log;
}

/**
 * Docker's volumes of the local driver, and all that containers mount. Who uses a volume is what containers' records say: nothing is counted that
 * a kill could lose. A volume's file system, if its options ask for one, is there from its first running container to its last.
 */
export class DockerVolumes implements ContainerVolumes, PreparedVolumes, AsyncDisposable {
  readonly #options: DockerVolumesOptions;
  readonly #store: VolumeStore;
  readonly #fileSystems: VolumeFileSystems;
  readonly #parts: VolumeParts;
  readonly #preparation: MountPreparation;
  readonly #locks = new KeyedLock();
  /** Volumes of containers whose records are not there yet: how many need each. */
  readonly #kept = new Map<string, number>();
  /** Containers that are started, until their run has ended. */
  readonly #starting = new Map<string, readonly ContainerMount[]>();
  /** Containers whose files are looked at though they don't run. */
  readonly #visited = new Map<string, readonly ContainerMount[]>();

  private constructor(options: DockerVolumesOptions) {
    this.#options = options;
    this.#store = new VolumeStore(options).open();
    this.#fileSystems = new VolumeFileSystems({ store: this.#store });
    this.#parts = new VolumeParts({ directory: options.partsDirectory });
    const { images, canReadOnlyBelow } = options;
    const mountsOf = (reference: string) => options.users().mountsOf(reference);
    this.#preparation = new MountPreparation({ volumes: this, parts: this.#parts, images, mountsOf, canReadOnlyBelow });
  }

  /** Reads what is there and undoes what a killed process left half-done. Containers must be known by now. */
  static async open(options: DockerVolumesOptions): Promise<DockerVolumes> {
    const volumes = new DockerVolumes(options);
    await volumes.#fileSystems.adopt(name => volumes.#isSeen(name));
    const places = new Set<string>();
    for (const { isRunning, mounts } of options.users().users())
      for (const { part } of mounts) {
        if (!part) continue;
        places.add(basename(dirname(part.place)));
        if (!isRunning) volumes.#parts.empty(part.place);
      }
    volumes.#parts.sweep(key => places.has(key));
    const used = volumes.allUsers();
    for (const name of [...volumes.#store.unclaimed])
      if (used.has(name)) volumes.#store.claim(name);
      else await volumes.remove(name, { force: true });
    return volumes;
  }

  list(): VolumeRecord[] {
    return this.#store.list();
  }

  /** @throws NotFound in docker's words */
  inspect(name: string): VolumeRecord {
    const found = this.#store.get(name);
    if (found) return found;
    throw new UmiakError('NotFound', `get ${name.slice(0, 512)}: no such volume`, { details: { kind: 'volume', name } });
  }

  mountpointOf(name: string): string {
    return this.#store.dataOf(name);
  }

  /** One that is there stays as it is. @throws BadRequest, NotFound for another driver */
  async create(
    { name, driver = '', options = {}, labels = {} }: VolumeWishes,
    { isAnonymous = name === '', isUnclaimed = false } = {},
  ): Promise<VolumeRecord> {
    if (driver !== '' && driver !== 'local')
      throw new UmiakError(
        'NotFound',
        `create ${name}: error looking up volume plugin ${driver}: plugin ${JSON.stringify(driver)} not found`,
      );
    const chosen = name === '' ? newVolumeName() : name;
    checkVolumeName(chosen);
    try {
      parseLocalOptions(options);
    } catch (error) {
      throw isUmiakError(error) ? new UmiakError(error.reason, `create ${chosen}: ${error.message}`) : error;
    }
    return await this.#locks.run(chosen, async () => {
      const known = this.#store.get(chosen);
      if (known) return known;
      const record = await this.#store.create(
        {
          name: chosen,
          options,
          labels: isAnonymous ? { ...labels, [ANONYMOUS_LABEL]: '' } : labels,
          ...(isAnonymous ? { isAnonymous } : {}),
        },
        { isUnclaimed },
      );
      this.#tell('create', chosen);
      return record;
    });
  }

  /** @throws NotFound unless forced, Conflict when a container has it */
  async remove(name: string, { force = false } = {}): Promise<void> {
    await this.#locks.run(name, async () => {
      if (!this.#store.get(name)) {
        if (force) return;
        this.inspect(name);
      }
      const users = this.usersOf(name);
      if (users.length > 0 || this.#kept.has(name))
        throw new UmiakError('Conflict', `remove ${name}: volume is in use - [${users.join(', ')}]`, { details: { kind: 'volume', name } });
      await this.#fileSystems.unmount(name);
      await this.#store.remove(name);
      this.#tell('destroy', name);
    });
  }

  /** Removes those that nobody uses and that pass; what they took of the disk. */
  async prune(passes: (record: VolumeRecord) => boolean): Promise<{ removed: string[]; freedBytes: number }> {
    const users = this.allUsers();
    const unused = this.list().filter(record => passes(record) && !this.#kept.has(record.name) && !users.has(record.name));
    const sizes = await this.sizesOf(unused.map(({ name }) => name));
    const removed: string[] = [];
    let freedBytes = 0;
    for (const { name } of unused) {
      const gone = await this.remove(name).then(() => true, unlessInUse);
      if (!gone) continue;
      removed.push(name);
      freedBytes += sizes.get(name) ?? 0;
    }
    this.#options.events.emit({ type: 'volume', action: 'prune', id: '', attributes: { reclaimed: String(freedBytes) } });
    return { removed, freedBytes };
  }

  /** Ids of the containers that have a volume, running or not. */
  usersOf(name: string): string[] {
    return this.#users(name).map(({ id }) => id);
  }

  /** The same of all volumes that containers have, by name. */
  allUsers(): Map<string, string[]> {
    const users = new Map<string, string[]>();
    for (const { id, mounts } of this.#options.users().users())
      for (const name of new Set(mounts.flatMap(({ point }) => (point.Type === 'volume' ? (point.Name ?? []) : []))))
        users.set(name, [...(users.get(name) ?? []), id]);
    return users;
  }

  /** Bytes on the disk, counted by another process; nothing of volumes that show something else. */
  async sizesOf(names: readonly string[]): Promise<Map<string, number>> {
    const own = names.filter(name => !parseLocalOptions(this.#store.get(name)?.options ?? {}));
    const sizes = await diskUsage(own.map(name => this.mountpointOf(name)));
    return new Map(own.flatMap(name => (sizes.has(this.mountpointOf(name)) ? [[name, sizes.get(this.mountpointOf(name)) ?? 0]] : [])));
  }

  prepare(request: MountsRequest): Promise<PreparedMounts> {
    return this.#preparation.prepare(request);
  }

  has(name: string): boolean {
    return this.#store.get(name) !== undefined;
  }

  keep(name: string): void {
    this.#kept.set(name, (this.#kept.get(name) ?? 0) + 1);
  }

  claim(name: string): void {
    if (this.#store.get(name)) this.#store.claim(name);
  }

  let(name: string): void {
    const count = (this.#kept.get(name) ?? 0) - 1;
    if (count > 0) this.#kept.set(name, count);
    else this.#kept.delete(name);
  }

  async fill(name: string, destination: string, layers: readonly string[]): Promise<void> {
    await this.#locks.run(name, async () => {
      await this.#mountFileSystem(name);
      try {
        const isMounted = this.#fileSystems.isMounted(name);
        const staging = this.#store.placeBeside(name, STAGING);
        await fillVolume({ target: this.mountpointOf(name), staging, layers, destination, isSeen: this.#isSeen(name), isMounted });
      } finally {
        if (!this.#isSeen(name)) await this.#fileSystems.unmount(name);
      }
    });
  }

  async mount(containerId: string, mounts: readonly ContainerMount[], use: MountUse = {}): Promise<void> {
    if (mounts.length === 0) return;
    this.#holders(use).set(containerId, mounts);
    try {
      for (const mount of mounts) await this.#mountOne(containerId, mount);
    } catch (error) {
      await this.unmount(containerId, mounts, use);
      throw error;
    }
  }

  async #mountOne(containerId: string, { point, part, makesSource = false }: ContainerMount): Promise<void> {
    if (point.Type === 'bind') await requireSource(point.Source, makesSource);
    const { Name: name } = point;
    if (point.Type !== 'volume' || name === undefined) return;
    this.inspect(name);
    await this.#locks.run(name, async () => {
      await this.#mountFileSystem(name);
      const isShared = this.#visited.has(containerId) && this.#isInRun(containerId);
      if (part && !(isShared && this.#parts.isShown(part.place))) this.#parts.fill(part.place, this.mountpointOf(name), part.path);
    });
    const { Destination, RW, Propagation } = point;
    const attributes = { container: containerId, destination: Destination, propagation: Propagation, 'read/write': String(RW) };
    this.#tell('mount', name, attributes);
  }

  /** In the volume's lock. */
  async #mountFileSystem(name: string): Promise<void> {
    await this.#fileSystems.mount(name);
    if (this.#fileSystems.isMounted(name)) await removeLeftCopies(this.mountpointOf(name));
  }

  async unmount(containerId: string, mounts: readonly ContainerMount[], use: MountUse = {}): Promise<void> {
    const wasMounted = this.#holders(use).delete(containerId);
    const isLast = () => !this.#visited.has(containerId) && !(use.isVisit ? this.#isInRun(containerId) : this.#starting.has(containerId));
    for (const { point, part } of mounts) {
      const { Name: name } = point;
      if (point.Type !== 'volume' || name === undefined) continue;
      await this.#locks.run(name, async () => {
        if (part && isLast()) this.#parts.empty(part.place);
        const besides = use.isVisit ? undefined : containerId;
        if (this.#fileSystems.isMounted(name) && !this.#isSeen(name, besides)) await this.#fileSystems.unmount(name);
      });
      if (wasMounted && this.#store.get(name)) this.#tell('unmount', name, { container: containerId });
    }
  }

  async removed(mounts: readonly ContainerMount[], { anonymous }: { anonymous: boolean }): Promise<void> {
    for (const { point, part, isAnonymous } of mounts) {
      if (part) this.#parts.removePlace(part.place);
      if (anonymous && isAnonymous && point.Name !== undefined) await this.remove(point.Name, { force: true }).catch(unlessInUse);
    }
  }

  #users(name: string) {
    return [...this.#options.users().users()].filter(({ mounts }) =>
      mounts.some(({ point }) => point.Type === 'volume' && point.Name === name),
    );
  }

  #holders({ isVisit = false }: MountUse): Map<string, readonly ContainerMount[]> {
    return isVisit ? this.#visited : this.#starting;
  }

  #isInRun(containerId: string): boolean {
    if (this.#starting.has(containerId)) return true;
    for (const { id, isRunning } of this.#options.users().users()) if (id === containerId) return isRunning;
    return false;
  }

  /** Whether a container other than that one runs with the volume, or is being started; or anyone's files are looked at. */
  #isSeen(name: string, besides?: string): boolean {
    const has = (mounts: readonly ContainerMount[]) => mounts.some(({ point }) => point.Type === 'volume' && point.Name === name);
    for (const [id, mounts] of this.#starting) if (id !== besides && has(mounts)) return true;
    for (const mounts of this.#visited.values()) if (has(mounts)) return true;
    return this.#users(name).some(({ id, isRunning }) => isRunning && id !== besides);
  }

  #tell(action: string, id: string, attributes: Record<string, string> = {}): void {
    this.#options.events.emit({ type: 'volume', action, id, attributes: { driver: 'local', ...attributes } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store.settled();
  }
}
