import { mkdir, writeFile } from 'node:fs/promises';
import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import { newContainerId } from '#base/ids.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, mount, umountInThread } from '#linux/mount.ts';
import type { EngineCgroups } from './cgroups.ts';
import type { ContainerLife } from './container-life.ts';
import type { Resources, SandboxConfig } from './engine.ts';
import type { EventFeed } from './events.ts';
import type { Ledger } from './ledger.ts';
import type { MachineChecks } from './machine-checks.ts';
import type { EnginePaths } from './paths.ts';
import type { CniSandboxes, PinKind, SandboxNetworks } from './ports.ts';
import { addressesOf, ipcnsOf, netnsOf, pinIdOf, type SandboxRecord, toSandbox } from './records.ts';
import { SHM_BYTES, sandboxHostname, writeSandboxFiles } from './sandbox-files.ts';
import { planSandboxUsers, rootOf } from './user-namespaces.ts';

export interface SandboxLifeOptions {
  paths: EnginePaths;
  ledger: Ledger;
  cgroups: EngineCgroups;
  events: EventFeed;
  containers: ContainerLife;
  networks: SandboxNetworks;
  /** For sandboxes with network `cni`, where the machine has that. */
  cni?: CniSandboxes | undefined;
  checks: MachineChecks;
  clock: Clock;
  bootId: string;
}

/** What is done to sandboxes, one thing at a time to each: create, stop, remove, with all containers in them. */
export class SandboxLife {
  readonly #paths: EnginePaths;
  readonly #ledger: Ledger;
  readonly #cgroups: EngineCgroups;
  readonly #events: EventFeed;
  readonly #containers: ContainerLife;
  readonly #networks: SandboxNetworks;
  readonly #cni: CniSandboxes | undefined;
  readonly #checks: MachineChecks;
  readonly #clock: Clock;
  readonly #bootId: string;
  readonly #locks = new KeyedLock();

  constructor({ paths, ledger, cgroups, events, containers, networks, cni, checks, clock, bootId }: SandboxLifeOptions) {
    this.#paths = paths;
    this.#ledger = ledger;
    this.#cgroups = cgroups;
    this.#events = events;
    this.#containers = containers;
    this.#networks = networks;
    this.#cni = cni;
    this.#checks = checks;
    this.#clock = clock;
    this.#bootId = bootId;
  }

  /** @throws Invalid for what contradicts itself or can't be had, before anything is made */
  async create(asked: SandboxConfig): Promise<SandboxRecord> {
    this.#checks.sandbox(asked);
    const config = planSandboxUsers(asked, () => this.#ledger.sandboxes().map(record => record.config));
    const record: SandboxRecord = {
      version: 1,
      id: newContainerId(),
      config,
      phase: config.onDemand ? 'notready' : 'creating',
      createdAtMs: this.#clock.now(),
      bootId: this.#bootId,
    };
    try {
      this.#ledger.saveSandbox(record);
      // One on demand has nothing yet, and lasts from the moment when its first container does.
      if (!config.onDemand) {
        await this.#furnish(record);
        record.phase = 'ready';
        this.#ledger.saveSandbox(record);
        await this.#ledger.settleSandbox(record);
      }
    } catch (error) {
      await this.#drop(record);
      throw error;
    }
    this.#events.emit({ type: 'sandbox', action: 'created', sandbox: toSandbox(record) });
    return record;
  }

  /** @throws NotFound, Conflict for one that is not on demand, and what keeps it from its namespaces: then it is as it was */
  async start(id: string): Promise<SandboxRecord> {
    return await this.#locks.run(id, async () => {
      const record = this.#ledger.usableSandbox(id);
      if (record.phase === 'ready') return record;
      record.phase = 'starting';
      record.bootId = this.#bootId;
      try {
        this.#ledger.saveSandbox(record);
        await this.#furnish(record);
        record.phase = 'ready';
        this.#ledger.saveSandbox(record);
      } catch (error) {
        await this.#withdraw(record);
        throw error;
      }
      return record;
    });
  }

  async #furnish(record: SandboxRecord): Promise<void> {
    const { config } = record;
    const directory = this.#paths.sandbox(record.id);
    if (config.resources) await this.#cgroups.limitParent(record, config.resources);
    await this.#giveNamespaces(record);
    if (config.network === 'cni') await this.#attach(record);
    await writeSandboxFiles(directory, config, addressesOf(record)[0]);
    if (hasOwnShm(config)) {
      const { uid, gid } = rootOf(config.userNamespace);
      await mkdir(`${directory}/shm`, { recursive: true });
      mount(
        'shm',
        `${directory}/shm`,
        'tmpfs',
        MS_NOSUID | MS_NODEV | MS_NOEXEC,
        `mode=1777,size=${config.shmSizeBytes ?? SHM_BYTES},uid=${uid},gid=${gid}`,
      );
    }
    if (config.pid === 'pod') record.pauseId = await this.#containers.startPause(record);
  }

  async #giveNamespaces(record: SandboxRecord): Promise<void> {
    const { config } = record;
    if (config.network === 'sandbox') {
      const netns = netnsOf(this.#ledger.readySandbox(config.networkOf ?? ''));
      if (netns !== undefined) record.joinedNetns = netns;
    }
    if (config.ipc === 'sandbox') {
      const joined = ipcnsOf(this.#ledger.readySandbox(config.ipcOf ?? ''));
      if (joined !== undefined) record.joinedIpc = joined;
    }
    const hostname = sandboxHostname(config);
    const users = config.userNamespace ? { userNamespace: config.userNamespace } : {};
    if (config.network === 'pod') {
      record.network = await this.#networks.take({ hostname, ...users });
      return;
    }
    const kinds: PinKind[] = [
      ...(config.network === 'none' || config.network === 'cni' ? (['net'] as const) : []),
      ...(config.network !== 'host' && config.uts !== 'host' ? (['uts'] as const) : []),
      ...(config.ipc === 'host' || config.ipc === 'sandbox' ? [] : (['ipc'] as const)),
    ];
    if (kinds.length === 0) return;
    record.pins = await this.#networks.pinNamespaces({
      id: pinIdOf(record),
      kinds,
      ...(kinds.includes('uts') ? { hostname } : {}),
      ...users,
    });
  }

  /** A kill in here leaves a record that is being created, so that whoever recovers it detaches it. */
  async #attach(record: SandboxRecord): Promise<void> {
    const { metadata, ports, dns, annotations } = record.config;
    if (!this.#cni)
      throw new UmiakError('NotImplemented', `sandbox ${metadata.namespace}/${metadata.name}: network 'cni' is not to be had here`, {
        hint: "Open the engine with the machine's CNI plugins, or choose network 'pod'.",
      });
    const attached = await this.#cni.attach({ id: record.id, netns: record.pins?.net ?? '', metadata, ports, dns, annotations });
    record.addresses = attached.addresses;
  }

  /** In place: containers have them mounted as they are. */
  async setFiles(record: SandboxRecord, { hosts, resolvConf }: { hosts?: string; resolvConf?: string }): Promise<void> {
    const directory = this.#paths.sandbox(record.id);
    await this.#locks.run(record.id, async () => {
      this.#ledger.usableSandbox(record.id);
      if (hosts !== undefined) await writeFile(`${directory}/hosts`, hosts, { mode: 0o644 });
      if (resolvConf !== undefined) await writeFile(`${directory}/resolv.conf`, resolvConf, { mode: 0o644 });
    });
  }

  /** Changes what its control group may use; what is absent stays. @throws Invalid for a group that is not its own */
  async updateResources(record: SandboxRecord, resources: Resources): Promise<void> {
    await this.#locks.run(record.id, async () => {
      const config = { ...record.config, resources: { ...record.config.resources, ...resources } };
      this.#checks.sandbox(config);
      await this.#cgroups.limitParent(record, resources);
      record.config = config;
      this.#ledger.saveSandbox(record);
      await this.#ledger.settleSandbox(record);
    });
  }

  async stop(record: SandboxRecord): Promise<void> {
    await this.#locks.run(record.id, async () => {
      if (record.phase !== 'ready' && !record.network && !record.pins) return;
      record.phase = 'notready'; // from now on nothing starts in it
      await Promise.all(this.#ledger.containersOf(record.id).map(container => this.#containers.stop(container, 0)));
      this.#ledger.noteSandbox(record);
      await this.#withdraw(record);
      this.#events.emit({ type: 'sandbox', action: 'stopped', sandbox: toSandbox(record) });
    });
  }

  async remove(record: SandboxRecord): Promise<void> {
    await this.stop(record);
    await this.#locks.run(record.id, async () => {
      if (!this.#ledger.sandbox(record.id)) return;
      this.#ledger.beginRemoval(record);
      await Promise.all(this.#ledger.containersOf(record.id).map(container => this.#containers.remove(container)));
      await this.#drop(record);
      this.#events.emit({ type: 'sandbox', action: 'removed', sandbox: toSandbox(record) });
    });
  }

  /** Takes its namespaces and network back. */
  async #withdraw(record: SandboxRecord): Promise<void> {
    await this.#free(record);
    record.phase = 'notready';
    delete record.network;
    delete record.pins;
    delete record.addresses;
    delete record.joinedNetns;
    delete record.joinedIpc;
    this.#ledger.noteSandbox(record);
  }

  async #drop(record: SandboxRecord): Promise<void> {
    for (const container of this.#ledger.containersOf(record.id)) {
      await this.#containers.stop(container, 0);
      await this.#containers.remove(container);
    }
    await this.#free(record);
    if (!this.#ledger.sharesCgroupParent(record)) await this.#cgroups.removeParent(record);
    await this.#ledger.removeSandbox(record.id);
  }

  /** Takes back everything that a sandbox has but its record. */
  async #free(record: SandboxRecord): Promise<void> {
    if (record.config.shm !== 'container') await umountInThread(`${this.#paths.sandbox(record.id)}/shm`);
    if (record.config.network === 'cni') await this.#cni?.detach(record.id);
    if (record.network) await this.#networks.release({ id: record.network.id });
    if (record.pins) await this.#networks.unpinNamespaces(pinIdOf(record));
  }
}

/** Of an IPC namespace of its own that has one, for all its containers. */
function hasOwnShm({ ipc = 'pod', shm }: SandboxConfig): boolean {
  return ipc === 'pod' && shm !== 'container';
}
