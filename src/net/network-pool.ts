import { type Clock, systemClock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import { newNameSuffix } from '#base/ids.ts';
import { WorkerCalls } from '#base/worker-calls.ts';
import { isPinned, type NamespaceKind, setHostname } from '#linux/namespaces.ts';
import type { IdRanges } from '#linux/user-namespace.ts';
import type { Bridge } from './bridge.ts';
import { AddressPool } from './ipam.ts';
import { vethPrefix } from './names.ts';
import type { PoolHandlers } from './network-pool-worker.ts';
import { pinDirectory, pinPath } from './pins.ts';

/** A pod's network namespace with its address, and the IPC and UTS namespaces that go with it; each alive by a bind mount on its path. */
export interface PodNetwork {
  /** Names its pins and its veth; keep it (the whole object) in the sandbox's record, for `adopt`. */
  id: string;
  /** The pinned network namespace. */
  path: string;
  /** The pinned IPC namespace. */
  ipc: string;
  /** The pinned UTS namespace. */
  uts: string;
  address: string;
  /** The host's end of the link. */
  veth: string;
  /** The pinned user namespace that owns the others, if they have one of their own. */
  user?: string;
}

/** A link of ours into a network namespace of somebody else's. */
export type LentLink = Pick<PodNetwork, 'id' | 'path' | 'address' | 'veth'> & {
  /** Its name in there. */
  ifName: string;
};

export interface NetworkPoolOptions {
  instance: string;
  runDir: string;
  podCidr: string;
  bridge: Bridge;
  /** How many ready networks to hold. */
  size?: number;
  /** Links into others' namespaces, from the records of a former process: what of them still stands is adopted too. */
  lent?: readonly LentLink[];
  clock?: Clock;
}

export interface PoolWorkerData {
  pinDir: string;
  vethPrefix: string;
  bridge: Bridge;
}

/** Pins without a pod network: of a pod on the host's network, or of one with loopback only. */
export interface PinOptions {
  id: string;
  kinds: readonly NamespaceKind[];
  hostname?: string;
  /** Makes them in a new user namespace with these ids, which is pinned too. */
  userNamespace?: IdRanges;
}

const DEFAULT_SIZE = 16;
/** By then the kernel has usually ended released namespaces by itself, which costs nothing here. */
const REAP_AFTER_MS = 200;

/**
 * Holds ready pod networks, so that starting a pod waits for none. A worker makes them, since only a thread of its own can visit namespaces at length.
 * Taken networks outlive this object and its process: the next one gets them back by `adopt`. What was not taken is deleted on disposal.
 */
export class NetworkPool implements AsyncDisposable {
  readonly #size: number;
  readonly #clock: Clock;
  readonly #addresses: AddressPool;
  readonly #pinDir: string;
  readonly #vethPrefix: string;
  readonly #worker: WorkerCalls<PoolHandlers>;
  readonly #ready: PodNetwork[] = [];
  readonly #waiting: { resolve: (network: PodNetwork) => void; reject: (error: unknown) => void }[] = [];
  readonly #taken = new Map<string, PodNetwork>();
  readonly #lent = new Map<string, LentLink>();
  #making = 0;
  readonly #released = new Set<PodNetwork>();
  #lastMade: Promise<void> = Promise.resolve();
  #reapTimer: Disposable | undefined;
  #reaping: Promise<void> = Promise.resolve();
  #isClosed = false;

  /** Starts the worker; nothing is made before `adopt`. */
  constructor(options: NetworkPoolOptions) {
    this.#size = options.size ?? DEFAULT_SIZE;
    this.#clock = options.clock ?? systemClock;
    this.#addresses = new AddressPool(options.podCidr);
    for (const link of options.lent ?? []) this.#lent.set(link.id, link);
    this.#pinDir = pinDirectory(options.runDir);
    this.#vethPrefix = vethPrefix(options.instance);
    const data: PoolWorkerData = { pinDir: this.#pinDir, vethPrefix: this.#vethPrefix, bridge: options.bridge };
    this.#worker = new WorkerCalls(new URL('./network-pool-worker.ts', import.meta.url), { name: 'network-pool', data });
  }

  /** How many networks stand ready. */
  get ready(): number {
    return this.#ready.length;
  }

  /** The networks in use. */
  get taken(): readonly PodNetwork[] {
    return [...this.#taken.values()];
  }

  /**
   * Takes over the networks that living sandboxes use and deletes everything else that a former process of this instance left: call once, before the
   * first `take`, with what the sandboxes' records say; `pinIds` are those of `pinNamespaces` still used. Then the pool fills itself.
   * @returns the records whose namespaces are gone (a reboot); their sandboxes can't run any more
   */
  async adopt(records: readonly PodNetwork[], pinIds: readonly string[] = []): Promise<{ lost: PodNetwork[] }> {
    const { pins, links } = await this.#worker.call('survey');
    const lost = records.filter(record => !links.includes(record.id) || !isPinned(record.path));
    const kept = records.filter(record => !lost.includes(record));
    for (const record of kept) {
      this.#addresses.reserve(record.address);
      this.#taken.set(record.id, record);
    }
    for (const { id, address } of this.#lent.values())
      if (links.includes(id)) this.#addresses.reserve(address);
      else this.#lent.delete(id); // its namespace has ended
    const keep = new Set([...kept.map(record => record.id), ...pinIds, ...this.#lent.keys()]);
    const left = [...new Set([...pins, ...links])].filter(id => !keep.has(id));
    await this.#worker.call('destroy', left);
    this.#refill();
    return { lost };
  }

  /**
   * A network of one's own, with that host name: from the pool at once, else as soon as one is made. One for a user namespace is made for
   * it, since who owns a namespace can't be changed.
   * @throws UmiakError `ServiceUnavailable` when the addresses are used up
   */
  async take({ hostname, userNamespace }: { hostname?: string; userNamespace?: IdRanges } = {}): Promise<PodNetwork> {
    const network = userNamespace ? await this.#makeOwned(userNamespace) : (this.#ready.shift() ?? (await this.#waitForOne()));
    this.#taken.set(network.id, network);
    if (hostname !== undefined) setHostname(network.uts, hostname);
    this.#refill();
    return network;
  }

  /** Ends a network whose processes have ended. Its address is given again when its links are surely gone. Twice is as good as once. */
  async release({ id }: Pick<PodNetwork, 'id'>): Promise<void> {
    const network = this.#taken.get(id);
    if (!network) return;
    this.#taken.delete(id);
    await this.#worker.call('unpin', [id]);
    this.#released.add(network);
    this.#reapTimer ??= this.#clock.after(REAP_AFTER_MS, () => this.#reap());
  }

  /** The links into others' namespaces. */
  get lent(): readonly LentLink[] {
    return [...this.#lent.values()];
  }

  /**
   * Plans a link into somebody else's namespace: name and address are taken, nothing is made, so that the caller writes it down before `connect`.
   * @throws UmiakError `ServiceUnavailable` when the addresses are used up
   */
  lend({ path, ifName }: Pick<LentLink, 'path' | 'ifName'>): LentLink {
    const id = newNameSuffix(8);
    const link = { id, path, ifName, address: this.#addresses.take(), veth: `${this.#vethPrefix}${id}` };
    this.#lent.set(id, link);
    return link;
  }

  /** Makes what `lend` planned, all or nothing. */
  async connect({ id, path, ifName, address }: LentLink): Promise<void> {
    await this.#worker.call('lend', id, path, ifName, address);
  }

  /** Which parts of a lent link are missing, in words. */
  async findMissing({ id, path, ifName }: LentLink): Promise<string[]> {
    return await this.#worker.call('findMissing', id, path, ifName);
  }

  /** Deletes a lent link at once, then its address is free. Twice is as good as once. */
  async takeBack({ id }: Pick<LentLink, 'id'>): Promise<void> {
    const link = this.#lent.get(id);
    if (!link) return;
    await this.#worker.call('destroy', [id]);
    this.#lent.delete(id);
    this.#addresses.release(link.address);
    this.#refill();
  }

  /** Pins namespaces for a pod without a pod network; returns their paths by kind. The id must not be one of the pool's. */
  async pinNamespaces({ id, kinds, hostname, userNamespace }: PinOptions): Promise<Partial<Record<NamespaceKind | 'user', string>>> {
    if (userNamespace) await this.#worker.call('pinOwned', id, [...kinds], hostname, userNamespace);
    else await this.#worker.call('pin', id, [...kinds], hostname);
    const pinned = [...kinds, ...(userNamespace ? (['user'] as const) : [])];
    return Object.fromEntries(pinned.map(kind => [kind, pinPath(this.#pinDir, id, kind)]));
  }

  /** Undoes `pinNamespaces`. Twice is as good as once. */
  async unpinNamespaces(id: string): Promise<void> {
    await this.#worker.call('unpin', [id]);
  }

  /** Resolves when the pool is as full as it gets. For tests and measurements. */
  async filled(): Promise<void> {
    while (this.#making > 0) await this.#lastMade;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#reapTimer?.[Symbol.dispose]();
    for (const { reject } of this.#waiting.splice(0)) reject(new UmiakError('ServiceUnavailable', 'the network pool is closed'));
    await this.filled();
    await this.#reaping;
    const left = [...this.#ready.splice(0), ...this.#released].map(network => network.id);
    await this.#worker.call('destroy', left);
    await this.#worker[Symbol.asyncDispose]();
  }

  /** With an address that nobody has, or one of a network that stands ready. */
  async #makeOwned(ids: IdRanges): Promise<PodNetwork> {
    if (this.#isClosed) throw new UmiakError('ServiceUnavailable', 'the network pool is closed');
    if (this.#addresses.available === 0) {
      const spare = this.#ready.shift() ?? (await this.#waitForOne());
      await this.#worker.call('destroy', [spare.id]);
      this.#addresses.release(spare.address);
    }
    const id = newNameSuffix(8);
    const address = this.#addresses.take();
    try {
      await this.#worker.call('createOwned', id, address, ids);
    } catch (error) {
      this.#addresses.release(address);
      throw error;
    }
    return { ...this.#describe(id, address), user: pinPath(this.#pinDir, id, 'user') };
  }

  #describe(id: string, address: string): PodNetwork {
    const at = (kind: NamespaceKind) => pinPath(this.#pinDir, id, kind);
    return { id, path: at('net'), ipc: at('ipc'), uts: at('uts'), address, veth: `${this.#vethPrefix}${id}` };
  }

  #waitForOne(): Promise<PodNetwork> {
    if (this.#isClosed) return Promise.reject(new UmiakError('ServiceUnavailable', 'the network pool is closed'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#refill();
    });
  }

  /** Orders as many from the worker as are wanted and possible; whoever waits for one that is not possible learns why. */
  #refill(): void {
    if (this.#isClosed) return;
    const wanted = () => this.#size + this.#waiting.length - this.#ready.length - this.#making;
    while (wanted() > 0 && this.#addresses.available > 0) {
      this.#making++;
      this.#lastMade = this.#make();
    }
    if (this.#released.size > 0) return; // soon there is room again
    for (const { reject } of this.#waiting.splice(this.#making)) reject(this.#exhausted());
  }

  /** An error reaches whoever waits; without anybody waiting the pool stays smaller until somebody takes, and then learns it. */
  async #make(): Promise<void> {
    const id = newNameSuffix(8);
    const address = this.#addresses.take();
    try {
      await this.#worker.call('create', id, address);
      const network = this.#describe(id, address);
      const waiting = this.#waiting.shift();
      if (waiting) waiting.resolve(network);
      else this.#ready.push(network);
    } catch (error) {
      this.#addresses.release(address);
      this.#waiting.shift()?.reject(error);
    } finally {
      this.#making--;
    }
  }

  #exhausted(): UmiakError {
    const hint = 'Delete pods, give the node a larger pod network, or add a node.';
    return new UmiakError('ServiceUnavailable', `no network for another pod: the addresses of ${this.#addresses.cidr} are used up`, {
      hint,
    });
  }

  /** Should the worker fail here, the networks stay listed, and the next release tries them again. */
  #reap(): void {
    this.#reapTimer = undefined;
    const networks = [...this.#released];
    const forget = () => {
      for (const network of networks) {
        this.#released.delete(network);
        this.#addresses.release(network.address);
      }
      this.#refill();
    };
    this.#reaping = this.#worker
      .call(
        'destroy',
        networks.map(network => network.id),
      )
      .then(forget, () => {});
  }
}
