import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { readBelow } from '#linux/open-below.ts';
import type { ProjectUsage } from '#linux/quota.ts';
import type { CdiDevices } from './cdi/devices.ts';
import { readDevices, readHostDevices } from './devices.ts';
import type { ContainerConfig } from './engine.ts';
import type { Ledger } from './ledger.ts';
import { giveMountPoints, MappedMounts, type Users } from './mapped-mounts.ts';
import { MountPointLayer } from './mount-point-layer.ts';
import { type HostFacts, planOciSpec } from './oci-spec.ts';
import type { OciSpec } from './oci-types.ts';
import { ensureMountPoints } from './overlay.ts';
import { canOverlay, OverlaySnapshotter } from './overlay-snapshotter.ts';
import type { EnginePaths } from './paths.ts';
import type { ImageSource } from './ports.ts';
import { type ContainerRecord, netnsOf, type SandboxRecord } from './records.ts';
import type { OciRuntime, OciRuntimes } from './runtime.ts';
import { fitSpec } from './runtime-spec.ts';
import { sandboxHostname } from './sandbox-files.ts';
import { SeccompCache } from './seccomp-cache.ts';
import { planSecurityModules, readSecurityModules } from './security-modules.ts';
import { Snapshots, type Snapshotter, type SnapshotterKind, writableOf } from './snapshotter.ts';
import { planUser } from './user.ts';
import { checkMapped } from './user-namespaces.ts';
import { WritableQuotas } from './writable-quotas.ts';

export interface PreparationOptions {
  paths: EnginePaths;
  ledger: Ledger;
  host: HostFacts;
  images: ImageSource;
  runtimes: OciRuntimes;
  snapshotter?: SnapshotterKind | 'auto' | undefined;
  /** Overlay turned out to be impossible here. */
  onCopies?: ((why: unknown) => void) | undefined;
}

/** Makes what a runtime needs to create a container: the mounted root file system and the bundle. Kept until the next run has ended. */
export class Preparation {
  readonly #paths: EnginePaths;
  readonly #ledger: Ledger;
  readonly #host: HostFacts;
  readonly #images: ImageSource;
  readonly #runtimes: OciRuntimes;
  readonly #seccomp = new SeccompCache();
  readonly #mapped: MappedMounts;
  readonly #snapshots: Snapshots;
  readonly #quotas: WritableQuotas;
  readonly #floors: MountPointLayer;
  #cdi: CdiDevices | undefined;
  readonly #mounted = new Set<string>();
  /** Those whose bundle is as their record wants it. */
  readonly #bundled = new Set<string>();

  constructor({ paths, ledger, host, images, runtimes, snapshotter = 'auto', onCopies }: PreparationOptions) {
    this.#paths = paths;
    this.#ledger = ledger;
    this.#host = host;
    this.#images = images;
    this.#runtimes = runtimes;
    this.#mapped = new MappedMounts(paths.mapped);
    this.#floors = new MountPointLayer(paths.floors);
    const quotas = new WritableQuotas({ directory: paths.containers });
    this.#quotas = quotas;
    let copies: Promise<Snapshotter> | undefined;
    this.#snapshots = new Snapshots({
      overlay: new OverlaySnapshotter({ mapped: this.#mapped, quotas }),
      copy: () => (copies ??= import('./copy-snapshotter.ts').then(({ CopySnapshotter }) => new CopySnapshotter({ quotas }))),
      wanted: snapshotter,
      canOverlay,
      ...(onCopies ? { onFallback: onCopies } : {}),
    });
  }

  /** Twice is as good as once. @throws Invalid for what the configuration asks for and can't have, NotFound when the image is gone */
  async prepare(record: ContainerRecord, sandbox: SandboxRecord): Promise<void> {
    if (sandbox.config.userNamespace) await this.#checkUsers(record);
    if (!this.#mounted.has(record.id)) await this.#mount(record, sandbox);
    if (!this.#bundled.has(record.id)) {
      const { cdiDevices = [] } = record.config;
      const edit = cdiDevices.length > 0 ? await this.#planDeviceEdits(cdiDevices) : undefined;
      this.#bundle(record, sandbox, await this.#runtimes.of(record), edit);
    }
    this.#bundled.add(record.id);
  }

  /** @throws Invalid for a runtime that would give the container other users than it is to have */
  async #checkUsers({ runtime }: ContainerRecord): Promise<void> {
    const type = this.#runtimes.typeOf(runtime);
    if (type === 'crun' || type === 'runc' || (await this.#runtimes.features(runtime)).userNamespaces) return;
    throw new UmiakError('Invalid', `runtime handler ${runtime} has no user namespaces`, {
      hint: 'Set hostUsers: true, or choose a RuntimeClass with handler crun or runc.',
    });
  }

  /** The runtime has made the container: it has what it needs of this. */
  async settle(id: string): Promise<void> {
    await this.#mapped.settle(id);
  }

  /** Undoes what a killed process prepared for containers that don't run. */
  clear(): void {
    this.#mapped.clear(id => this.#ledger.container(id)?.phase === 'running');
  }

  /** The record has changed. */
  expire(id: string): void {
    this.#bundled.delete(id);
  }

  /** Unmounts the root file system, which keeps what was written. The bundle is the caller's to remove. */
  async unmount(id: string): Promise<void> {
    this.#bundled.delete(id);
    await this.#mapped.drop(id);
    if (this.#mounted.delete(id)) await this.#snapshots.unmount(this.#paths.container(id));
  }

  /** @throws Invalid for what can't be had on this machine */
  check({ writableLimitBytes }: ContainerConfig): void {
    this.#quotas.check(writableLimitBytes);
  }

  /** What the container wrote, where the file system counts it; undefined: its files must be counted. */
  writableUsage(id: string): ProjectUsage | undefined {
    return this.#quotas.usage(writableOf(this.#paths.container(id)));
  }

  /** The container goes for good. */
  forget(id: string): void {
    this.#quotas.end(writableOf(this.#paths.container(id)));
  }

  /** A mount that a former process made. */
  adopt(id: string): void {
    this.#mounted.add(id);
  }

  /** Containers with devices by CDI are few: what knows of them is loaded for them. */
  async #planDeviceEdits(names: readonly string[]): Promise<(spec: OciSpec) => OciSpec> {
    const [{ CdiDevices }, { applyCdiEdits }] = await Promise.all([import('./cdi/devices.ts'), import('./cdi/apply.ts')]);
    this.#cdi ??= new CdiDevices();
    const edits = await this.#cdi.resolve(names);
    return spec => applyCdiEdits(spec, edits);
  }

  #bundle(record: ContainerRecord, sandbox: SandboxRecord, runtime: OciRuntime, edit: (spec: OciSpec) => OciSpec = spec => spec): void {
    const { id, config, imageConfig } = record;
    const rootfs = this.#paths.rootfs(id);
    const security = config.security ?? {};
    const user = planUser({
      user: security.user ?? imageConfig.User ?? '',
      runAsGroup: security.runAsGroup,
      supplementalGroups: security.supplementalGroups,
      supplementalGroupsPolicy: security.supplementalGroupsPolicy,
      addedGroups: security.addedGroups,
      runAsNonRoot: security.runAsNonRoot,
      passwd: readBelow(rootfs, '/etc/passwd'),
      group: readBelow(rootfs, '/etc/group'),
    });
    record.user = { uid: user.uid, gid: user.gid, supplementalGroups: user.additionalGids };
    const users = usersOf(sandbox);
    if (users) checkMapped(user, users.mappings);
    const spec = planOciSpec({
      sandbox: sandbox.config,
      container: {
        ...config,
        env: this.#ledger.environmentOf(record),
        ...(config.mounts?.length ? { mounts: this.#mapped.showVolumes(id, users, config.mounts) } : {}),
      },
      image: imageConfig,
      user,
      host: this.#host,
      rootfs: users ? this.#mapped.showRoot(id, rootfs) : rootfs,
      cgroupsPath: record.cgroupPath,
      namespaces: { ...namespacesOf(sandbox), ...this.#pidNamespace(sandbox, config) },
      ...(security.apparmor || security.selinux ? { labels: planSecurityModules(security, readSecurityModules()) } : {}),
      files: record.isPause ? {} : users ? this.#mapped.showPaths(id, this.#files(sandbox.id)) : this.#files(sandbox.id),
      devices: security.privileged
        ? readHostDevices()
        : (config.devices ?? []).flatMap(({ path, containerPath, permissions }) => readDevices(path, containerPath, permissions)),
    });
    const fitted = fitSpec(spec, runtime, sandboxHostname(sandbox.config));
    const profile = security.seccompProfile ?? (security.privileged ? 'unconfined' : security.seccomp);
    const bundle = this.#paths.bundle(id);
    mkdirSync(bundle, { recursive: true, mode: 0o700 });
    writeFileSync(`${bundle}/config.json`, JSON.stringify(edit(this.#seccomp.apply(fitted, profile, runtime))), { mode: 0o600 });
    mkdirSync(dirname(record.logPath), { recursive: true });
  }

  /** Mounts the root file system alone; false when it was. */
  async mountRoot(record: ContainerRecord, sandbox: SandboxRecord | undefined): Promise<boolean> {
    if (this.#mounted.has(record.id)) return false;
    if (!sandbox) throw new UmiakError('NotFound', `there is no sandbox ${record.config.sandboxId}`);
    await this.#mount(record, sandbox);
    return true;
  }

  async #mount(record: ContainerRecord, sandbox: SandboxRecord): Promise<void> {
    const { id } = record;
    // Layers can be unpacked elsewhere after a restart.
    if (!record.lowerDirs.every(directory => existsSync(directory)))
      record.lowerDirs = (await this.#images.resolve(record.imageId)).lowerDirs;
    const target = this.#paths.rootfs(id);
    const users = usersOf(sandbox);
    await this.#snapshots.mount({
      id,
      lowerDirs: record.lowerDirs,
      floor: users || record.isPause ? undefined : this.#floorOf(sandbox.id),
      directory: this.#paths.container(id),
      users,
      limitBytes: record.config.writableLimitBytes,
      isTransient: record.config.isTransient,
    });
    this.#mounted.add(id);
    await ensureMountPoints(target);
    if (users) await giveMountPoints(target, users);
  }

  /** The one of the container that is to be looked into, or the pod's shared one, if it has one. */
  #pidNamespace({ id, pauseId, config }: SandboxRecord, { pidOf, ownPid }: ContainerConfig): { pid?: string } {
    const target = pidOf ?? (ownPid ? undefined : pauseId);
    const found = target === undefined ? undefined : this.#ledger.container(target);
    const isNear = (other: ContainerRecord) => other.config.sandboxId === id || (config.onDemand && other.owner === config.owner);
    if (pidOf !== undefined && (found?.phase !== 'running' || !isNear(found)))
      throw new UmiakError('Conflict', `pidOf: container ${pidOf} does not run in this sandbox`);
    return found?.init ? { pid: `/proc/${found.init.pid}/ns/pid` } : {};
  }

  #floorOf(sandboxId: string): string {
    const { hosts, hostname, resolvConf } = this.#files(sandboxId);
    return this.#floors.of(hosts !== undefined && hostname !== undefined && resolvConf !== undefined);
  }

  #files(sandboxId: string): { hosts?: string; hostname?: string; resolvConf?: string; shm?: string } {
    const directory = this.#paths.sandbox(sandboxId);
    const { ipcOf } = this.#ledger.sandbox(sandboxId)?.config ?? {};
    const shm = `${ipcOf === undefined ? directory : this.#paths.sandbox(ipcOf)}/shm`;
    const ifThere = (name: string) => (existsSync(`${directory}/${name}`) ? `${directory}/${name}` : undefined);
    const files = { hosts: ifThere('hosts'), hostname: ifThere('hostname'), resolvConf: ifThere('resolv.conf') };
    const all = { ...files, shm: existsSync(shm) ? shm : undefined };
    return Object.fromEntries(Object.entries(all).filter(([, path]) => path !== undefined));
  }
}

/** Of a sandbox with a user namespace. @throws InternalError for one that has lost it: its containers would be the machine's root */
function usersOf(sandbox: SandboxRecord): Users | undefined {
  const mappings = sandbox.config.userNamespace;
  if (!mappings) return undefined;
  const path = namespacesOf(sandbox).user;
  if (path !== undefined) return { path, mappings };
  throw new UmiakError('InternalError', `sandbox ${sandbox.id} is to have users of its own and has no user namespace`, {
    hint: 'Remove the sandbox and make it anew.',
  });
}

/** Where a sandbox's namespaces are pinned; absent ones are the host's. A network of the pool comes with an IPC namespace, wanted or not. */
export function namespacesOf(record: SandboxRecord): { network?: string; ipc?: string; uts?: string; user?: string } {
  const { config, network, pins, joinedIpc } = record;
  const ipc = joinedIpc ?? pins?.ipc;
  const netns = netnsOf(record);
  if (network)
    return {
      network: network.path,
      ...(config.ipc === 'host' ? {} : { ipc: joinedIpc ?? network.ipc }),
      ...(config.uts === 'host' ? {} : { uts: network.uts }),
      ...(network.user ? { user: network.user } : {}),
    };
  return {
    ...(pins?.user !== undefined ? { user: pins.user } : {}),
    ...(netns !== undefined ? { network: netns } : {}),
    ...(ipc !== undefined ? { ipc } : {}),
    ...(pins?.uts !== undefined ? { uts: pins.uts } : {}),
  };
}
