import { readFile } from 'node:fs/promises';
import { type Clock, systemClock } from '#base/clock.ts';
import { WorkerCalls } from '#base/worker-calls.ts';
import type { KernelChanges } from '../bridge.ts';
import { vethPrefix } from '../names.ts';
import type { NftTransactions } from '../nft-transactions.ts';
import { linksByAdvertisement } from './advertised-routes.ts';
import type { BridgedNetwork, DefaultRoutes, EndpointLink, KernelNetwork } from './bridge-network.ts';
import { type PublishedRule, planPublishing, renderBridgeTable } from './bridge-rules.ts';
import type { BridgesHandlers } from './bridges-worker.ts';
import { bridgeTableName } from './link-names.ts';

export interface BridgesOptions {
  instance: string;
  nft: NftTransactions;
  kernel: KernelChanges;
  clock?: Clock;
}

/** By then the kernel has usually deleted the links of ended namespaces by itself. */
const REAP_AFTER_MS = 200;

/**
 * Networks of people's own on this machine, their containers' links, and the machine's ports that lead to containers. What the kernel has outlives this
 * object; the next one is told by `restore` what is to be there. Its worker starts with the first network.
 */
export class Bridges implements AsyncDisposable {
  readonly #options: BridgesOptions;
  readonly #table: string;
  readonly #networks = new Map<string, KernelNetwork>();
  readonly #published = new Map<string, PublishedRule[]>();
  #worker: WorkerCalls<BridgesHandlers> | undefined;
  #isLoaded = false;
  readonly #left = new Set<string>();
  #reapTimer: Disposable | undefined;
  #reaping: Promise<void> = Promise.resolve();
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: BridgesOptions) {
    this.#options = options;
    this.#table = bridgeTableName(options.instance);
  }

  /**
   * Makes what is missing of these networks and deletes links of endpoints that nobody has; `published` by whom. Once, at the start. A network
   * whose part of the kernel can't be made is told to `refused`.
   * @returns the machine's ends of those endpoints that stand
   */
  async restore({
    networks,
    endpoints,
    published,
    refused,
  }: {
    networks: readonly KernelNetwork[];
    endpoints: readonly string[];
    published: ReadonlyMap<string, readonly PublishedRule[]>;
    refused: (network: KernelNetwork, error: unknown) => void;
  }): Promise<string[]> {
    for (const [owner, rules] of published) this.#published.set(owner, [...rules]);
    for (const network of networks) {
      this.#networks.set(network.id, network);
      await this.#make(network).catch(error => refused(network, error));
    }
    const standing = networks.length > 0 ? await this.#call('keepOnly', [...endpoints]) : [];
    const loaded = this.#load(); // also where there is nothing any more, for which nobody waits
    if (networks.length + published.size > 0) await loaded;
    else loaded.catch(() => {}); // whoever publishes next says all of it again
    return standing;
  }

  /** Makes a network. @throws `AlreadyExists` for a link's name that is another's, `NotImplemented` for what this kernel lacks */
  async create(network: KernelNetwork): Promise<void> {
    await this.#make(network);
    this.#networks.set(network.id, network);
    try {
      await this.#load();
    } catch (error) {
      await this.remove(network.id);
      throw error;
    }
  }

  /** Deletes a network that has no endpoints. Twice is as good as once. */
  async remove(id: string): Promise<void> {
    const network = this.#networks.get(id);
    if (!network) return;
    await this.#call('deleteLink', network.driver === 'bridge' ? network.link : network.parent, id);
    this.#networks.delete(id);
    await this.#load();
  }

  /** A link into a namespace, then its ways out. All or nothing. */
  async attach(network: KernelNetwork, endpoint: EndpointLink, routes: DefaultRoutes): Promise<void> {
    await this.#call('attach', network, endpoint, routes);
  }

  /** Deletes links. Twice is as good as once. */
  async detach(
    endpoints: readonly { network: KernelNetwork; endpoint: Pick<EndpointLink, 'hostLink' | 'netns' | 'ifName'> }[],
  ): Promise<void> {
    if (endpoints.length === 0) return;
    const links = endpoints.map(({ network, endpoint }) => ({ ...endpoint, isShared: network.driver === 'macvlan' }));
    await this.#call('detach', links);
  }

  /** Other ways out of a namespace. */
  async setRoutes(netns: string, routes: DefaultRoutes): Promise<void> {
    await this.#call('setRoutes', netns, routes);
  }

  /**
   * Lets go of links whose namespaces are ending: nothing goes over them when this resolves, and the kernel deletes them with the namespaces, which
   * costs nothing here; what it has not by then is deleted later.
   */
  async leave(endpoints: readonly { network: KernelNetwork; endpoint: Pick<EndpointLink, 'hostLink'> }[]): Promise<void> {
    const links = endpoints.flatMap(({ network, endpoint }) => (network.driver === 'bridge' ? [endpoint.hostLink] : []));
    if (links.length === 0) return;
    await this.#call('silence', links);
    for (const link of links) this.#left.add(link);
    this.#reapTimer ??= (this.#options.clock ?? systemClock).after(REAP_AFTER_MS, () => {
      this.#reapTimer = undefined;
      this.#reap();
    });
  }

  /** Deletes a link inside a namespace, and its other end with it. Without one, nothing happens. */
  async deleteInside(netns: string, ifName: string): Promise<void> {
    await this.#call('detach', [{ hostLink: '', netns, ifName, isShared: true }]);
  }

  /** Another hardware address for a link of the pods' network inside a namespace. */
  async setHardware(netns: string, ifName: string, { mac, address }: { mac: string; address: string }): Promise<void> {
    await this.#call('setHardware', netns, ifName, mac, address);
  }

  /** The names of the links in a namespace by their hardware addresses. */
  async linksIn(netns: string): Promise<Record<string, string>> {
    return await this.#call('linksIn', netns);
  }

  /** What this machine has routes to, and the names of its links. */
  async survey(): Promise<{ routes: string[]; links: string[] }> {
    return await this.#call('survey');
  }

  /** Leads ports of the machine to somebody's container, in place of those that led there before; none at all ends it. */
  publish(owner: string, rules: readonly PublishedRule[]): Promise<void> {
    return this.#queue(async () => {
      const before = this.#published.get(owner) ?? [];
      if (before.length + rules.length === 0) return;
      if (rules.length > 0) this.#published.set(owner, [...rules]);
      else this.#published.delete(owner);
      if (!this.#isLoaded) await this.#replace();
      else await this.#options.nft.apply(planPublishing(this.#table, before, rules)).catch(() => this.#replace()); // somebody else changed our table
      const stale = before.filter(({ protocol, address }) => protocol === 'udp' && !address.includes(':'));
      await this.#options.nft.forgetFlows(stale.map(({ hostPort, address, port }) => ({ port: hostPort, address, targetPort: port })));
    });
  }

  /** Lets go; what the kernel has stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#reapTimer?.[Symbol.dispose]();
    await this.#last.catch(() => {});
    if (this.#left.size > 0) this.#reap();
    await this.#reaping;
    await this.#worker?.[Symbol.asyncDispose]();
  }

  /** Should the worker fail here, the next process deletes them. */
  #reap(): void {
    const links = [...this.#left].map(hostLink => ({ hostLink, netns: '', ifName: '', isShared: false }));
    this.#left.clear();
    this.#reaping = this.#call('detach', links).catch(() => {});
  }

  async #make(network: KernelNetwork): Promise<void> {
    if (network.subnets.some(({ subnet }) => subnet.includes(':')) && !network.isInternal) await this.#forwardIpv6();
    if (network.driver === 'bridge') await this.#call('createBridge', network satisfies BridgedNetwork);
    else await this.#call('createShared', network);
  }

  /** The machine becomes a router, and keeps its own way out where another router told it. */
  async #forwardIpv6(): Promise<void> {
    const { kernel } = this.#options;
    const advertised = linksByAdvertisement(await readFile('/proc/net/ipv6_route', 'utf8'));
    for (const link of advertised) await kernel.sysctl(`net/ipv6/conf/${link}/accept_ra`, '2');
    await kernel.sysctl('net/ipv6/conf/all/forwarding', '1');
  }

  #load(): Promise<void> {
    return this.#queue(() => this.#replace());
  }

  async #replace(): Promise<void> {
    const { instance, nft } = this.#options;
    this.#isLoaded = this.#networks.size + this.#published.size > 0;
    if (!this.#isLoaded) return await nft.deleteTable(this.#table, 'inet');
    const content = {
      table: this.#table,
      podLinks: vethPrefix(instance),
      networks: [...this.#networks.values()],
      published: [...this.#published.values()].flat(),
    };
    await nft.apply(renderBridgeTable(content));
  }

  #queue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work, work);
    this.#last = result.catch(() => {});
    return result;
  }

  get #call(): WorkerCalls<BridgesHandlers>['call'] {
    this.#worker ??= new WorkerCalls<BridgesHandlers>(new URL('./bridges-worker.ts', import.meta.url), {
      name: 'bridges',
      data: { instance: this.#options.instance },
    });
    return this.#worker.call.bind(this.#worker);
  }
}
