import { isUmiakError, messageOf, UmiakError } from '#base/errors.ts';
import { newContainerId } from '#base/ids.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import type { Config, EndpointSettings, HostConfig, NetworkSettings, Port } from '../containers/forms.ts';
import { containerOf } from '../containers/validate.ts';
import type { ContainerLookup, DockerContainer, Networks, SandboxNetworkPlan } from '../rooms.ts';
import { Connector, type ConnectorOptions } from './connector.ts';
import { NetworkBook } from './network-book.ts';
import { isFixed } from './network-filters.ts';
import { fixedNetworks, type NetworkRecord, toKernelNetwork } from './network-record.ts';
import { NetworkStore } from './network-store.ts';
import { isUserDefined, planEndpoint, planEndpoints } from './plan-endpoints.ts';
import { type NetworkWishes, planNetwork } from './plan-network.ts';
import { planPorts, toPortMap, toPorts } from './plan-ports.ts';

export interface DockerNetworksOptions extends Omit<ConnectorOptions, 'book'> {
  /** `<dataDir>/docker/networks`. */
  directory: string;
  /** Subnets that no network may take by itself: of all pods and Services. */
  avoided: readonly string[];
  /** The link of the default network. */
  poolLink: { name: string; mtu: number };
  createdAtMs: number;
}

/**
 * Docker's networks. A network is its record, written before the kernel's part is made; which containers are in it stands in their own records, and
 * is read anew by `open`. The default network is the engine's pool, which costs a start nothing; the others are `Bridges`.
 */
export class DockerNetworks implements Networks, AsyncDisposable {
  readonly #options: DockerNetworksOptions;
  readonly #store: NetworkStore;
  readonly #connector: Connector;
  readonly #locks = new KeyedLock();
  readonly book: NetworkBook;

  private constructor(options: DockerNetworksOptions) {
    this.#options = options;
    const { instance, podCidr, poolGateway, poolLink, createdAtMs } = options;
    this.#store = new NetworkStore(options.directory).open();
    const fixed = fixedNetworks({ instance, podCidr, gateway: poolGateway, link: poolLink.name, mtu: poolLink.mtu, createdAtMs });
    this.book = new NetworkBook(fixed, this.#store);
    this.#connector = new Connector({ ...options, book: this.book });
  }

  /** Makes what the kernel lacks of the networks there are, and takes over the containers that run. Containers must be known by now. */
  static async open(options: DockerNetworksOptions): Promise<DockerNetworks> {
    const networks = new DockerNetworks(options);
    await networks.#connector.resume();
    return networks;
  }

  // ——— networks ———

  list(): NetworkRecord[] {
    return this.book.list();
  }

  isUsed({ id }: NetworkRecord): boolean {
    return this.book.members(id).length > 0;
  }

  /** Durable when it resolves. @throws Conflict for a name that is taken, and what `planNetwork` refuses */
  async create(wishes: NetworkWishes): Promise<NetworkRecord> {
    const { bridges, clock, instance, avoided } = this.#options;
    return await this.#locks.run('networks', async () => {
      const all = this.list();
      if (all.some(({ name }) => name === wishes.Name && isUserDefined(name)))
        throw new UmiakError('Conflict', `network with name ${wishes.Name} already exists`);
      const { routes, links } = await bridges.survey();
      const record = planNetwork(wishes, {
        id: newContainerId(),
        createdAtMs: clock.now(),
        used: all.flatMap(({ ipam }) => ipam.config.map(({ Subnet }) => Subnet)),
        avoided: [...avoided, ...routes],
        links,
        machine: instance,
      });
      await this.#store.save(record);
      try {
        await bridges.create(toKernelNetwork(record, instance));
      } catch (error) {
        await this.#store.remove(record.id);
        throw error;
      }
      this.#tell('create', record);
      return record;
    });
  }

  /** @throws NotFound, Forbidden while containers are in it */
  async remove(nameOrId: string): Promise<void> {
    // Who waited for a container's end may take its network at once.
    for (const { containerId } of this.book.members(this.book.need(nameOrId).id)) await this.#options.containers().settled(containerId);
    await this.#locks.run('networks', async () => {
      const record = this.book.need(nameOrId);
      const { id, name } = record;
      if (isFixed(record)) throw new UmiakError('Forbidden', `${name} is a pre-defined network and cannot be removed`);
      const members = this.book.members(id);
      if (members.length > 0) {
        const who = members.map(member => `name:"${member.name}" id:"${member.endpointId.slice(0, 12)}"`).join(', ');
        throw new UmiakError('Forbidden', `error while removing network: network ${name} has active endpoints (${who})`);
      }
      // First out of everybody's sight, so that no container joins it any more; the record goes last: what a kill leaves is a whole network.
      const comeBack = this.#store.hide(id);
      try {
        await this.#options.bridges.remove(id);
        await this.#store.remove(id);
      } catch (error) {
        comeBack();
        throw error;
      }
      this.#tell('destroy', record);
    });
  }

  /** Removes those that pass and nobody is in. */
  async prune(passes: (record: NetworkRecord) => boolean): Promise<string[]> {
    const removed: string[] = [];
    for (const record of this.list().filter(each => !isFixed(each) && passes(each) && !this.isUsed(each))) {
      try {
        await this.remove(record.id);
        removed.push(record.name);
      } catch (error) {
        if (!isUmiakError(error)) throw error; // somebody came meanwhile, or took it away
      }
    }
    this.#options.events.emit({ type: 'network', action: 'prune', id: '', attributes: { reclaimed: '0' } });
    return removed;
  }

  // ——— containers in them ———

  /** @throws in docker's words */
  async connect(nameOrId: string, reference: string, wish: Partial<EndpointSettings>): Promise<void> {
    const { id: networkId } = this.book.need(nameOrId);
    const lookup = this.#options.containers();
    const { id } = lookup.find(reference);
    await this.#locks.run(id, async () => {
      const container = lookup.find(id);
      const record = this.book.need(networkId); // it may have gone meanwhile
      checkJoinable(container, record);
      if (container.data.endpoints[record.name])
        throw new UmiakError('Forbidden', `endpoint with name ${container.name} already exists in network ${record.name}`);
      const endpoint = planEndpoint(wish, { record, name: record.name, isUserDefined: isUserDefined(record.name) });
      const settings = this.#connector.hasJoined(id) ? await this.#connector.join(container, record, endpoint) : endpoint;
      await lookup.change(id, data => ({ ...data, endpoints: { ...data.endpoints, [record.name]: settings } }));
    });
  }

  /** @throws in docker's words */
  async disconnect(nameOrId: string, reference: string, { force = false } = {}): Promise<void> {
    const record = this.book.need(nameOrId);
    const lookup = this.#options.containers();
    const found = force ? findOrNone(lookup, reference) : lookup.find(reference);
    if (!found) return;
    await this.#locks.run(found.id, async () => {
      const container = lookup.find(found.id);
      if (container.data.hostConfig.NetworkMode === 'host' || record.name === 'host')
        throw new UmiakError('Forbidden', 'container cannot be disconnected from host network or connected to host network');
      if (!container.data.endpoints[record.name])
        throw new UmiakError('Forbidden', `container ${container.id} is not connected to network ${record.name}`);
      if (this.#connector.hasJoined(container.id)) await this.#connector.part(container, record);
      await lookup.change(container.id, data => {
        const { [record.name]: _gone, ...endpoints } = data.endpoints;
        return { ...data, endpoints };
      });
    });
  }

  planEndpoints({
    name,
    config,
    hostConfig,
    endpoints,
  }: {
    name: string;
    config: Config;
    hostConfig: HostConfig;
    endpoints: Record<string, Partial<EndpointSettings>>;
    lookup: ContainerLookup;
  }): Record<string, EndpointSettings> {
    planPorts(config, hostConfig); // refuses what can't be
    return planEndpoints({ name, config, hostConfig, endpoints }, reference => this.book.find(reference));
  }

  planSandbox({ hostConfig: { NetworkMode }, lookup }: { hostConfig: HostConfig; lookup: ContainerLookup }): SandboxNetworkPlan {
    const other = containerOf(NetworkMode);
    if (other !== undefined) return { network: 'sandbox', networkOf: lookup.find(other).sandboxId };
    if (NetworkMode === 'bridge') return { network: 'pod' };
    return { network: NetworkMode === 'host' ? 'host' : 'none' };
  }

  async connectAll({ id }: DockerContainer): Promise<void> {
    const lookup = this.#options.containers();
    try {
      await this.#locks.run(id, async () => {
        const container = lookup.find(id); // a client may have put it into another network meanwhile
        const endpoints = await this.#connector.joinAll(container);
        if (endpoints !== container.data.endpoints) await lookup.change(id, data => ({ ...data, endpoints }));
      });
    } catch (error) {
      const reason = isUmiakError(error) ? error.reason : 'InternalError';
      throw new UmiakError(reason, `failed to set up container networking: ${messageOf(error)}`, { cause: error });
    }
  }

  /** `connectAll` for what stands in no list: a build's step. */
  async connectUnlisted(container: DockerContainer): Promise<void> {
    await this.#locks.run(container.id, () => this.#connector.joinAll(container));
  }

  async disconnectAll({ id }: DockerContainer): Promise<void> {
    await this.#locks.run(id, () => this.#connector.partAll(id));
  }

  async renamed(container: DockerContainer): Promise<void> {
    await this.#locks.run(container.id, async () => {
      const endpoints = await this.#connector.rename(container);
      if (endpoints !== container.data.endpoints) await this.#options.containers().change(container.id, data => ({ ...data, endpoints }));
    });
  }

  settingsOf(container: DockerContainer): NetworkSettings {
    return this.#connector.settingsOf(container);
  }

  portsOf({ data, sandbox }: DockerContainer): Port[] {
    return sandbox?.state === 'ready' ? toPorts(toPortMap(data.config, data.published ?? {})) : [];
  }

  /** Lets go; networks and containers in them stay. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#options.bridges[Symbol.asyncDispose]();
  }

  #tell(action: string, { id, name, driver }: NetworkRecord): void {
    this.#options.events.emit({ type: 'network', action, id, attributes: { name, type: driver } });
  }
}

function checkJoinable({ data, owner, name }: DockerContainer, record: NetworkRecord): void {
  const mode = data.hostConfig.NetworkMode;
  if (owner !== 'docker') throw new UmiakError('Forbidden', `container ${name} belongs to a pod: its network is the pod's`);
  if (mode.startsWith('container:'))
    throw new UmiakError(
      'Forbidden',
      'container sharing network namespace with another container or host cannot be connected to any other network',
    );
  if (mode === 'host' || record.name === 'host')
    throw new UmiakError('Forbidden', 'container cannot be disconnected from host network or connected to host network');
  if (mode === 'none' || record.name === 'none')
    throw new UmiakError('Forbidden', 'container cannot be connected to multiple networks with one of the networks in private (none) mode');
}

function findOrNone(lookup: ContainerLookup, reference: string): DockerContainer | undefined {
  try {
    return lookup.find(reference);
  } catch (error) {
    if (isUmiakError(error, 'NotFound')) return undefined;
    throw error;
  }
}
