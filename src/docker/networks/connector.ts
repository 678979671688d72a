import type { Clock } from '#base/clock.ts';
import { messageOf, UmiakError } from '#base/errors.ts';
import { newContainerId } from '#base/ids.ts';
import type { Log } from '#base/log.ts';
import type { Engine } from '#engine/index.ts';
import {
  type Bridges,
  type EmbeddedDns,
  endpointLinkName,
  type KernelNetwork,
  macOfAddress,
  type PublishedRule,
} from '#net/bridges/index.ts';
import { macOf } from '#net/hardware.ts';
import type { PortReservations } from '#net/index.ts';
import type { EndpointSettings, NetworkSettings, PortBinding } from '../containers/forms.ts';
import { containerOf } from '../containers/validate.ts';
import type { ContainerLookup, DockerContainer, Events } from '../rooms.ts';
import { ContainerNames } from './container-names.ts';
import { freeLinkName, gatewayIn, isOfPool, type Joined, linkOf, memberOf, namesIn, namesOf, publishTarget, routesOf } from './joined.ts';
import type { NetworkBook } from './network-book.ts';
import { isFixed } from './network-filters.ts';
import { type NetworkRecord, toKernelNetwork } from './network-record.ts';
import { toNetworkSettings } from './network-settings.ts';
import { isUserDefined, NO_ENDPOINT, orderOf, withoutFacts } from './plan-endpoints.ts';
import { planPorts } from './plan-ports.ts';
import type { PoolLinks } from './pool-links.ts';
import { PublishedPorts } from './published-ports.ts';

export interface ConnectorOptions {
  instance: string;
  book: NetworkBook;
  bridges: Bridges;
  dns: EmbeddedDns;
  poolLinks: PoolLinks;
  reservations: PortReservations;
  engine: Pick<Engine, 'setSandboxFiles'>;
  containers: () => ContainerLookup;
  events: Events;
  /** The default network: the pods'. */
  podCidr: string;
  /** Its gateway: this machine. */
  poolGateway: string;
  /** The machine's resolv.conf. */
  resolvConf: string;
  clock: Clock;
  log: Log;
}

/** Puts containers into their networks and takes them out: links, names, files, published ports. One thing at a time to each container, by its caller. */
export class Connector {
  readonly #options: ConnectorOptions;
  readonly #ports: PublishedPorts;
  readonly #names: ContainerNames;
  readonly #joined = new Map<string, Joined>();

  constructor(options: ConnectorOptions) {
    this.#options = options;
    this.#ports = new PublishedPorts(options);
    this.#names = new ContainerNames({ ...options, joinedOf: id => this.#joined.get(id) });
  }

  /** Takes over the containers that run, as their records say; makes what the kernel lacks of the networks and deletes what nobody has. */
  async resume(): Promise<void> {
    const { book, bridges, containers, instance, log, poolLinks } = this.#options;
    const running = containers()
      .all()
      .filter(({ owner, sandbox }) => owner === 'docker' && sandbox?.state === 'ready');
    const published = new Map<string, PublishedRule[]>();
    const links: string[] = [];
    for (const container of running) {
      const { id, data, sandbox } = container;
      if (containerOf(data.hostConfig.NetworkMode) !== undefined) continue;
      const joined: Joined = { netns: sandbox?.netns, attached: new Map() };
      this.#joined.set(id, joined);
      for (const name of Object.keys(data.endpoints)) {
        const record = book.find(name);
        const known = data.endpoints[name];
        if (!record || !known) continue;
        const lent = name === 'bridge' ? poolLinks.find(id) : undefined;
        const settings = isFixed(record) && !lent ? this.#fixedSettings(container, record, known) : known;
        joined.attached.set(name, { record, ifName: lent?.ifName ?? 'eth0', settings });
        book.enter(record.id, memberOf(container, settings));
        if (!isFixed(record)) links.push(endpointLinkName(instance, settings.EndpointID));
      }
      const target = publishTarget(container, joined);
      const warn = (why: string) => log.warn('a published port is not reserved any more', { container: data.name, why });
      if (!target || !data.published) continue;
      joined.publishedBy = target.endpointId;
      published.set(id, await this.#ports.resume(target, data.published, warn));
    }
    const networks = book
      .list()
      .filter(record => !isFixed(record))
      .map(record => toKernelNetwork(record, instance));
    const refused = (network: KernelNetwork, error: unknown) =>
      log.error('a network could not be made again', { network: network.id, error: messageOf(error) });
    await Promise.all([
      poolLinks.keepOnly(new Set(this.#joined.keys())),
      bridges.restore({ networks, endpoints: links, published, refused }),
      ...running.map(async container => {
        const joined = this.#joined.get(container.id);
        if (!joined) return;
        try {
          await Promise.all([this.#names.tell(container, joined), this.#findLinks(joined)]);
        } catch (error) {
          // Its namespace has gone with its last process: it is about to be told as ended.
          log.warn('a container that runs has lost its network', { container: container.name, error: messageOf(error) });
        }
      }),
    ]);
  }

  /** How the links that a former process made are called inside. */
  async #findLinks({ netns, attached }: Joined): Promise<void> {
    const own = [...attached.values()].filter(({ record }) => !isFixed(record));
    if (own.length === 0 || netns === undefined) return;
    const named = await this.#options.bridges.linksIn(netns);
    for (const each of own) each.ifName = named[each.settings.MacAddress] ?? each.ifName;
  }

  /** All of a container's networks, before it starts. @returns its endpoints as they are now. @throws in docker's words, everything undone */
  async joinAll(container: DockerContainer): Promise<Record<string, EndpointSettings>> {
    const { id, data, sandbox } = container;
    const { endpoints, hostConfig } = data;
    const target = containerOf(hostConfig.NetworkMode);
    if (target !== undefined) {
      await this.#names.writeFiles(container, this.#options.containers().find(target));
      return endpoints;
    }
    const joined: Joined = { netns: sandbox?.netns, attached: new Map() };
    this.#joined.set(id, joined);
    try {
      const isPooled = isOfPool(container);
      if (isPooled && !endpoints.bridge && joined.netns) await this.#options.bridges.deleteInside(joined.netns, 'eth0');
      // The default network's link is there already, the first of all.
      const names = orderOf(endpoints).toSorted((a, b) => Number(b === 'bridge') - Number(a === 'bridge'));
      for (const name of names) {
        const record = this.#options.book.need(name);
        const endpoint = endpoints[name] ?? NO_ENDPOINT;
        if (name === 'bridge' && !isPooled) await this.#lend(container, joined, record, endpoint);
        else await this.#attach(container, joined, record, endpoint);
      }
      await Promise.all([
        this.#names.tell(container, joined),
        this.#names.writeFiles(container, container),
        this.#publish(container, joined),
      ]);
    } catch (error) {
      await this.partAll(id, false);
      throw error;
    }
    for (const { record } of joined.attached.values()) this.#tell('connect', record, id);
    if (!namesOf(joined).some(isUserDefined) && !this.#options.poolLinks.find(id)) return endpoints;
    return Object.fromEntries([...joined.attached].map(([name, { settings }]) => [name, settings]));
  }

  /** It is in its networks: it runs, or is about to. */
  hasJoined(id: string): boolean {
    return this.#joined.has(id);
  }

  /** Another network for a container that runs. All or nothing. */
  async join(container: DockerContainer, record: NetworkRecord, wish: EndpointSettings): Promise<EndpointSettings> {
    const joined = this.#need(container);
    try {
      if (record.name === 'bridge') await this.#lend(container, joined, record, wish);
      else await this.#attach(container, joined, record, wish);
      await Promise.all([
        this.#names.tell(container, joined),
        this.#names.writeFiles(container, container),
        this.#publish(container, joined),
      ]);
    } catch (error) {
      await this.#detach(container.id, joined, [record.name]);
      throw error;
    }
    this.#tell('connect', record, container.id);
    return joined.attached.get(record.name)!.settings;
  }

  /** Takes a running container out of one of its networks. */
  async part(container: DockerContainer, record: NetworkRecord): Promise<void> {
    const joined = this.#need(container);
    const leaving = joined.attached.get(record.name);
    if (!leaving) return;
    if (leaving.settings.EndpointID === joined.publishedBy) await this.#withdraw(container.id, joined); // before its address is anybody's
    await this.#detach(container.id, joined, [record.name]);
    if (joined.netns && namesOf(joined).length > 0)
      await this.#options.bridges.setRoutes(joined.netns, routesOf(joined, this.#options.podCidr));
    await Promise.all([
      this.#names.tell(container, joined),
      this.#names.writeFiles(container, container),
      this.#publish(container, joined),
    ]);
    this.#tell('disconnect', record, container.id);
  }

  /** Takes a container that has ended out of all of its networks. Twice is as good as once. */
  async partAll(id: string, isTold = true): Promise<void> {
    const joined = this.#joined.get(id);
    if (!joined) return;
    const records = [...joined.attached.values()].map(({ record }) => record);
    const hasOwn = namesOf(joined).some(isUserDefined);
    const withdrawn = this.#ports.withdraw(id);
    await Promise.all([
      hasOwn ? this.#options.dns.close(id) : undefined,
      withdrawn.then(() => this.#detach(id, joined, namesOf(joined), { isEnding: true })), // before its addresses are anybody's
    ]);
    this.#joined.delete(id);
    if (isTold) for (const record of records) this.#tell('disconnect', record, id);
  }

  /** A running container is called otherwise: others find it by its new name. @returns its endpoints as they are now */
  async rename(container: DockerContainer): Promise<Record<string, EndpointSettings>> {
    const joined = this.#joined.get(container.id);
    for (const each of joined?.attached.values() ?? []) {
      if (!isFixed(each.record)) each.settings = { ...each.settings, DNSNames: namesIn(container, each.settings) };
      this.#options.book.enter(each.record.id, memberOf(container, each.settings));
    }
    if (!joined || !namesOf(joined).some(isUserDefined)) return container.data.endpoints;
    await this.#names.tell(container, joined);
    return Object.fromEntries([...joined.attached].map(([name, { settings }]) => [name, settings]));
  }

  /** `NetworkSettings` of inspect. */
  settingsOf(container: DockerContainer): NetworkSettings {
    return toNetworkSettings(container, this.#joined.get(container.id));
  }

  async #attach(container: DockerContainer, joined: Joined, record: NetworkRecord, endpoint: EndpointSettings): Promise<void> {
    const { book, bridges, instance } = this.#options;
    const { name } = record;
    if (isFixed(record)) {
      const settings = this.#fixedSettings(container, record, endpoint);
      joined.attached.set(name, { record, ifName: 'eth0', settings });
      book.enter(record.id, memberOf(container, settings));
      await this.#setHardware(joined, 'eth0', settings);
      return;
    }
    if (joined.netns === undefined) throw new UmiakError('Conflict', `container ${container.id} has no network of its own`);
    const wish = withoutFacts(endpoint);
    const addresses = book.allocate(record, wish);
    const settings: EndpointSettings = {
      ...wish,
      NetworkID: record.id,
      EndpointID: newContainerId(),
      MacAddress: wish.MacAddress || macOfAddress(addresses.ipv4 || addresses.ipv6),
      Gateway: gatewayIn(record, '.'),
      IPAddress: addresses.ipv4,
      IPPrefixLen: addresses.ipv4PrefixLength,
      IPv6Gateway: gatewayIn(record, ':'),
      GlobalIPv6Address: addresses.ipv6,
      GlobalIPv6PrefixLen: addresses.ipv6PrefixLength,
      DNSNames: namesIn(container, wish),
    };
    const ifName = freeLinkName(joined, record, settings);
    joined.attached.set(name, { record, ifName, settings });
    book.enter(record.id, memberOf(container, settings));
    await bridges.attach(
      toKernelNetwork(record, instance),
      linkOf(instance, joined.netns, ifName, settings),
      routesOf(joined, this.#options.podCidr),
    );
  }

  /** A link of the default network for a container that was not made with one, or has left it. */
  async #lend(container: DockerContainer, joined: Joined, record: NetworkRecord, endpoint: EndpointSettings): Promise<void> {
    const { book, bridges, podCidr, poolLinks } = this.#options;
    const { id } = container;
    if (joined.netns === undefined) throw new UmiakError('Conflict', `container ${id} has no network of its own`);
    const wish = withoutFacts(endpoint);
    const ifName = freeLinkName(joined, record, wish);
    const { address } = await poolLinks.attach(id, joined.netns, ifName);
    const settings = { ...this.#pooledSettings(wish, record, address), EndpointID: newContainerId() };
    joined.attached.set(record.name, { record, ifName, settings });
    book.enter(record.id, memberOf(container, settings));
    await this.#setHardware(joined, ifName, settings);
    await bridges.setRoutes(joined.netns, routesOf(joined, podCidr));
  }

  /** The hardware address that was asked for on the default network. */
  async #setHardware({ netns }: Joined, ifName: string, { MacAddress: mac, IPAddress: address }: EndpointSettings): Promise<void> {
    if (netns === undefined || address === '' || mac === macOf(address)) return;
    await this.#options.bridges.setHardware(netns, ifName, { mac, address });
  }

  async #detach(id: string, joined: Joined, gone: readonly string[], { isEnding = false } = {}): Promise<void> {
    const { book, bridges, dns, instance, poolLinks } = this.#options;
    const attached = gone.flatMap(name => joined.attached.get(name) ?? []);
    const own = attached.filter(({ record }) => !isFixed(record));
    const netns = joined.netns ?? '';
    const links = own.map(({ record, ifName, settings }) => ({
      network: toKernelNetwork(record, instance),
      endpoint: { hostLink: endpointLinkName(instance, settings.EndpointID), netns, ifName },
    }));
    if (isEnding) await bridges.leave(links);
    else await bridges.detach(links);
    for (const { record, settings, ifName } of attached) {
      if (!isFixed(record)) await dns.drop(record.id, settings.EndpointID);
      else if (poolLinks.find(id)) await poolLinks.detach(id);
      else if (record.name === 'bridge' && !isEnding) await bridges.deleteInside(netns, ifName);
      book.leave(record.id, id);
      joined.attached.delete(record.name);
    }
  }

  /** Leads its ports by the network that is its way out now: an address that it has given back may be another's next. */
  async #publish(container: DockerContainer, joined: Joined): Promise<void> {
    const { id, data } = container;
    const wishes = planPorts(data.config, data.hostConfig);
    const target = wishes.length > 0 ? publishTarget(container, joined) : undefined;
    if (target && target.endpointId === joined.publishedBy) return;
    await this.#withdraw(id, joined);
    const published: Record<string, PortBinding[]> | undefined = target ? await this.#ports.publish(target, wishes) : undefined;
    if (target) joined.publishedBy = target.endpointId;
    if (!published && !data.published) return;
    await this.#options.containers().change(id, ({ published: _before, ...known }) => ({ ...known, ...(published ? { published } : {}) }));
  }

  async #withdraw(id: string, joined: Joined): Promise<void> {
    await this.#ports.withdraw(id);
    delete joined.publishedBy;
  }

  /** What the engine's own networks give. */
  #fixedSettings({ sandbox, sandboxId }: DockerContainer, record: NetworkRecord, endpoint: EndpointSettings): EndpointSettings {
    const common = { ...withoutFacts(endpoint), NetworkID: record.id, EndpointID: sandboxId };
    const address = record.name === 'bridge' ? sandbox?.address : undefined;
    return address === undefined ? common : this.#pooledSettings(common, record, address);
  }

  /** An endpoint of the default network. */
  #pooledSettings(endpoint: EndpointSettings, { id }: NetworkRecord, address: string): EndpointSettings {
    const { poolGateway, podCidr } = this.#options;
    return {
      ...endpoint,
      NetworkID: id,
      MacAddress: endpoint.MacAddress || macOf(address),
      Gateway: poolGateway,
      IPAddress: address,
      IPPrefixLen: Number(podCidr.split('/')[1]),
    };
  }

  #need({ id }: DockerContainer): Joined {
    const joined = this.#joined.get(id);
    if (!joined) throw new UmiakError('Conflict', `container ${id} is not running`);
    return joined;
  }

  #tell(action: string, { id, name, driver }: NetworkRecord, container: string): void {
    this.#options.events.emit({ type: 'network', action, id, attributes: { container, name, type: driver } });
  }
}
