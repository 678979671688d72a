import { type Clock, isUmiakError, type Log, messageOf, toMicroTime } from '#base/index.ts';
import type { Client } from '#client/index.ts';
import type { Draft } from '#kinds/kind.ts';
import { Lease } from '#kinds/lease.ts';
import { Node } from '#kinds/node.ts';
import { type MachineLeft, PRESSURE_MS, type Pressure, planConditions, planPressures, readLeft } from './node-conditions.ts';
import { type MachineFacts, nodeInfo, nodeLabels, readMachine, toCapacity } from './node-facts.ts';

export interface NodeRegistrationOptions {
  client: Pick<Client, 'get' | 'create' | 'patch'>;
  nodeName: string;
  hostAddress: string;
  /** Where images and volumes lie: its size is the node's ephemeral storage. */
  dataDir: string;
  /** What else the Node object says of the machine. */
  annotations?: Record<string, string>;
  version: string;
  /** The images that are here, for the scheduler. */
  images: () => Promise<{ names: string[]; sizeBytes: number }[]>;
  /** The runtime handlers that pods can ask for, the node's own choice first, with what each can do. */
  handlers?: () => Promise<RuntimeHandler[]>;
  /** Amounts that pods may have, where they are not all that the machine has. */
  allocatable?: Record<string, string>;
  /** What the machine has, and has left; read from it when absent. */
  machine?: { facts: MachineFacts; left: () => MachineLeft };
  clock: Clock;
  log: Log;
}

type NodeStatus = NonNullable<Node['status']>;
type RuntimeHandler = NonNullable<NodeStatus['runtimeHandlers']>[number];

const LEASES = 'kube-node-lease';
const LEASE_SECONDS = 40;
const RENEW_MS = 10_000;
const FIRST_RETRY_MS = 250;
const STATUS_MS = 300_000;
const HANDLERS_MS = 1000;
/** Whatever runs containers here. */
const FEATURES: NonNullable<NodeStatus['features']> = { supplementalGroupsPolicy: true };
/** As the kubelet bounds them. */
const MOST_IMAGES = 50;
const MOST_IMAGE_NAMES = 5;

type Images = NonNullable<NodeStatus['images']>;

/**
 * Makes this machine a Node, says how it is, and keeps its lease. Ready is said only after `markReady` of this very process: what an earlier
 * one said is taken back by the first write. A heartbeat renews the lease; the status goes out with it when something has changed, and every
 * five minutes. Ending says nothing: whoever watches the lease sees it.
 */
export class NodeRegistration implements AsyncDisposable {
  /** What pods may have of this node. */
  readonly allocatable: Record<string, string>;
  readonly #options: NodeRegistrationOptions;
  readonly #capacity: Record<string, string>;
  /** When each pressure was last seen. */
  readonly #pressures = new Map<Pressure, number>();
  #node: Node | undefined;
  #isReady = false;
  #port: number | undefined;
  #images: Images | undefined;
  #problems: readonly string[] | undefined;
  #handlers: RuntimeHandler[] | undefined;
  #posting: Promise<void> = Promise.resolve();
  #posted: { text: string; atMs: number } | undefined;
  #timer: Disposable | undefined;
  #learning: Disposable | undefined;
  #isClosed = false;

  constructor(options: NodeRegistrationOptions) {
    this.#options = options;
    const { capacity, allocatable } = toCapacity(options.machine?.facts ?? readMachine(options.dataDir), options.allocatable);
    this.#capacity = capacity;
    this.allocatable = allocatable;
  }

  /** Makes the Node object or takes it over, with one write of its status, and its lease. After `markReady` that write says Ready. */
  async start({ kubeletPort }: { kubeletPort: number }): Promise<void> {
    this.#port = kubeletPort;
    await this.#ensureNode();
    const [status, lease] = await Promise.allSettled([this.#post(), this.#renewLease()]);
    if (status.status === 'rejected') throw status.reason;
    this.#beatAfter(lease.status === 'rejected' ? lease.reason : undefined, 0);
    this.#learning = this.#options.clock.after(HANDLERS_MS, () => void this.#learnHandlers());
  }

  /** Programs are asked for this, which nobody waits for. */
  async #learnHandlers(): Promise<void> {
    const { handlers, log } = this.#options;
    if (!handlers || this.#isClosed) return;
    try {
      this.#handlers = await handlers();
      if (!this.#isClosed) await this.#post();
    } catch (error) {
      log.warn('what the runtime handlers can do is not known', { error: messageOf(error) });
    }
  }

  /** Runtime, network and DNS have answered: pods may come. Resolves when the Node says so; before `start`, at once. */
  async markReady(): Promise<void> {
    this.#isReady = true;
    if (this.#port !== undefined) await this.#post();
  }

  /** What the machine lacks that pods need: told with the next heartbeat. */
  problemsFound(problems: readonly string[]): void {
    this.#problems = problems;
  }

  /** Images came or went: looked at by the next heartbeat. */
  imagesChanged(): void {
    this.#images = undefined;
  }

  async #ensureNode(): Promise<void> {
    const { client, nodeName, annotations = {} } = this.#options;
    const labels = nodeLabels(nodeName);
    const draft: Draft<Node> = { apiVersion: 'v1', kind: 'Node', metadata: { name: nodeName, labels, annotations }, spec: {} };
    let node = await client.get(Node, { name: nodeName });
    if (!node) {
      try {
        node = await client.create(Node, draft);
        this.#posted = undefined;
      } catch (error) {
        if (!isUmiakError(error, 'AlreadyExists')) throw error;
        node = await client.get(Node, { name: nodeName });
      }
    } else if (!says(node.metadata.labels, labels) || !says(node.metadata.annotations, annotations)) {
      node = await client.patch(Node, { name: nodeName }, { metadata: { labels, annotations } }, { type: 'merge' });
    }
    this.#node = node;
  }

  /** Writes the status if it differs from what was last written, or that was long ago. One write at a time, each with what is so by then. */
  #post(): Promise<void> {
    this.#posting = this.#posting.catch(() => {}).then(() => this.#writeStatus());
    return this.#posting;
  }

  async #writeStatus(): Promise<void> {
    const { client, nodeName, clock } = this.#options;
    const isDue = this.#posted === undefined || clock.monotonic() - this.#posted.atMs >= STATUS_MS;
    const status = await this.#status(isDue);
    const text = JSON.stringify(status, (key, value) => (key === 'lastHeartbeatTime' ? undefined : value));
    if (!isDue && text === this.#posted?.text) return;
    // Strategic, so that conditions of others stay.
    const write = () => client.patch(Node, { name: nodeName }, { status }, { type: 'strategic', subresource: 'status' });
    try {
      this.#node = await write();
    } catch (error) {
      if (!isUmiakError(error, 'NotFound')) throw error;
      // Somebody deleted the Node: it is made again.
      await this.#ensureNode();
      this.#node = await write();
    }
    this.#posted = { text, atMs: clock.monotonic() };
  }

  async #status(withImages: boolean): Promise<Partial<NodeStatus>> {
    const { nodeName, hostAddress, version, clock } = this.#options;
    if (withImages || !this.#images) this.#images = await this.#listImages();
    const nowMs = clock.now();
    return {
      capacity: this.#capacity,
      allocatable: this.allocatable,
      addresses: [
        { type: 'InternalIP', address: hostAddress },
        { type: 'Hostname', address: nodeName },
      ],
      daemonEndpoints: { kubeletEndpoint: { Port: this.#port ?? 0 } },
      nodeInfo: nodeInfo(version),
      images: this.#images,
      ...(this.#handlers ? { runtimeHandlers: this.#handlers, features: FEATURES } : {}),
      conditions: planConditions({
        ...(this.#problems ? { problems: this.#problems } : {}),
        isReady: this.#isReady,
        pressures: this.#pressuresAt(nowMs),
        before: this.#node?.status?.conditions ?? [],
        nowMs,
      }),
    };
  }

  /** The largest ones. */
  async #listImages(): Promise<Images> {
    const all = await this.#options.images();
    const named = all.filter(({ names }) => names.length > 0).sort((a, b) => b.sizeBytes - a.sizeBytes);
    return named.slice(0, MOST_IMAGES).map(({ names, sizeBytes }) => ({ names: names.slice(0, MOST_IMAGE_NAMES), sizeBytes }));
  }

  #pressuresAt(nowMs: number): Set<Pressure> {
    const { machine, dataDir } = this.#options;
    for (const pressure of planPressures(machine ? machine.left() : readLeft(dataDir))) this.#pressures.set(pressure, nowMs);
    for (const [pressure, seenMs] of this.#pressures) if (nowMs - seenMs >= PRESSURE_MS) this.#pressures.delete(pressure);
    return new Set(this.#pressures.keys());
  }

  async #renewLease(): Promise<void> {
    const { client, nodeName, clock } = this.#options;
    const key = { namespace: LEASES, name: nodeName };
    const spec = { holderIdentity: nodeName, leaseDurationSeconds: LEASE_SECONDS, renewTime: toMicroTime(clock.now()) };
    try {
      await client.patch(Lease, key, { spec }, { type: 'merge' });
      return;
    } catch (error) {
      if (!isUmiakError(error, 'NotFound')) throw error;
    }
    // A lease goes with its Node: that one may be gone, too, or another by now.
    if (this.#posted) await this.#ensureNode();
    const uid = this.#node?.metadata.uid;
    const ownerReferences = uid ? [{ apiVersion: 'v1', kind: 'Node', name: nodeName, uid }] : [];
    await client.create(Lease, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { ...key, ownerReferences }, spec });
  }

  async #beat(failures: number): Promise<void> {
    const lease = await Promise.allSettled([this.#renewLease()]);
    const status = await Promise.allSettled([this.#post()]);
    const failed = [...lease, ...status].find(result => result.status === 'rejected');
    this.#beatAfter(failed?.reason, failures);
  }

  /** Sets the next heartbeat; soon after a failure, so that a short one does not cost the node its lease. */
  #beatAfter(problem: unknown, failures: number): void {
    if (this.#isClosed) return;
    const { clock, log } = this.#options;
    if (problem !== undefined) log.warn("the node's state could not be written", { error: messageOf(problem) });
    const [ms, next] = problem === undefined ? [RENEW_MS, 0] : [Math.min(RENEW_MS, FIRST_RETRY_MS * 2 ** failures), failures + 1];
    this.#timer = clock.after(ms, () => void this.#beat(next));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#timer?.[Symbol.dispose]();
    this.#learning?.[Symbol.dispose]();
  }
}

function says(present: Record<string, string> | undefined, wanted: Record<string, string>): boolean {
  return Object.entries(wanted).every(([key, value]) => present?.[key] === value);
}
