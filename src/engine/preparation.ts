import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { umount } from '#linux/mount.ts';
import { readBelow } from '#linux/open-below.ts';
import { readDevice, readHostDevices } from './devices.ts';
import { type HostFacts, planOciSpec } from './oci-spec.ts';
import { ensureMountPoints, mountOverlay } from './overlay.ts';
import type { EnginePaths } from './paths.ts';
import type { ContainerRecord, SandboxRecord } from './records.ts';
import type { OciRuntime } from './runtime.ts';
import type { SeccompCache } from './seccomp-cache.ts';
import { planUser } from './user.ts';

export interface PreparationOptions {
  paths: EnginePaths;
  host: HostFacts;
  seccomp: SeccompCache;
}

/** Makes what a runtime needs to create a container: the mounted root file system and the bundle. Twice is as good as once. */
export class Preparation {
  readonly #paths: EnginePaths;
  readonly #host: HostFacts;
  readonly #seccomp: SeccompCache;
  readonly #mounted = new Set<string>();

  constructor({ paths, host, seccomp }: PreparationOptions) {
    this.#paths = paths;
    this.#host = host;
    this.#seccomp = seccomp;
  }

  /** @throws Invalid for what the configuration asks for and can't have */
  prepare(record: ContainerRecord, sandbox: SandboxRecord, runtime: OciRuntime, pidNamespace: string | undefined): void {
    const { id, config, imageConfig } = record;
    const rootfs = this.#mount(record);
    const security = config.security ?? {};
    const user = planUser({
      user: security.user ?? imageConfig.User ?? '',
      runAsGroup: security.runAsGroup,
      supplementalGroups: security.supplementalGroups,
      runAsNonRoot: security.runAsNonRoot,
      passwd: readBelow(rootfs, '/etc/passwd'),
      group: readBelow(rootfs, '/etc/group'),
    });
    const { network, ipc, uts } = namespacesOf(sandbox);
    const spec = planOciSpec({
      sandbox: sandbox.config,
      container: config,
      image: imageConfig,
      user,
      host: this.#host,
      rootfs,
      cgroupsPath: record.cgroupPath,
      namespaces: {
        ...(network !== undefined ? { network } : {}),
        ...(ipc !== undefined ? { ipc } : {}),
        ...(uts !== undefined ? { uts } : {}),
        ...(pidNamespace !== undefined ? { pid: pidNamespace } : {}),
      },
      files: record.isPause ? {} : this.#files(sandbox.id),
      devices: security.privileged
        ? readHostDevices()
        : (config.devices ?? []).map(({ path, containerPath, permissions }) => readDevice(path, containerPath, permissions)),
    });
    const profile = security.privileged ? 'unconfined' : security.seccomp;
    const bundle = this.#paths.bundle(id);
    mkdirSync(bundle, { recursive: true, mode: 0o700 });
    writeFileSync(`${bundle}/config.json`, JSON.stringify(this.#seccomp.apply(spec, profile, runtime)), { mode: 0o600 });
    mkdirSync(dirname(record.logPath), { recursive: true });
  }

  /** Unmounts the root file system, which keeps what was written. */
  unmount(id: string): void {
    if (this.#mounted.delete(id)) umount(this.#paths.rootfs(id), { detach: true });
  }

  /** False when the image's layers are not where they were when the container was made. */
  hasLayers({ id, lowerDirs }: ContainerRecord): boolean {
    return this.#mounted.has(id) || lowerDirs.every(directory => existsSync(directory));
  }

  /** A mount that a former process made. */
  adopt(id: string): void {
    this.#mounted.add(id);
  }

  #mount({ id, lowerDirs }: ContainerRecord): string {
    const target = this.#paths.rootfs(id);
    if (this.#mounted.has(id)) return target;
    const directory = this.#paths.container(id);
    // What a reboot in the middle of a mount left in the work directory would make the next one fail.
    if (existsSync(`${directory}/work`)) rmSync(`${directory}/work`, { recursive: true });
    for (const name of ['upper', 'work', 'merged']) mkdirSync(`${directory}/${name}`, { recursive: true, mode: 0o755 });
    mountOverlay({ lowerDirs, upper: `${directory}/upper`, work: `${directory}/work`, target });
    this.#mounted.add(id);
    ensureMountPoints(target);
    return target;
  }

  #files(sandboxId: string): { hosts?: string; hostname?: string; resolvConf?: string; shm?: string } {
    const directory = this.#paths.sandbox(sandboxId);
    const ifThere = (name: string) => (existsSync(`${directory}/${name}`) ? `${directory}/${name}` : undefined);
    const files = { hosts: ifThere('hosts'), hostname: ifThere('hostname'), resolvConf: ifThere('resolv.conf'), shm: ifThere('shm') };
    return Object.fromEntries(Object.entries(files).filter(([, path]) => path !== undefined));
  }
}

/** Where a sandbox's namespaces are pinned; absent ones are the host's. */
export function namespacesOf({ network, pins }: SandboxRecord): { network?: string; ipc?: string; uts?: string } {
  if (network) return { network: network.path, ipc: network.ipc, uts: network.uts };
  return {
    ...(pins?.net !== undefined ? { network: pins.net } : {}),
    ...(pins?.ipc !== undefined ? { ipc: pins.ipc } : {}),
    ...(pins?.uts !== undefined ? { uts: pins.uts } : {}),
  };
}
