import { type Clock, isUmiakError, type Log, messageOf, toTime } from '#base/index.ts';
import { type Client, EventRecorder, type Informer, Informers, parseKey, WorkQueue } from '#client/index.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';
import { hostPortsOf, podRequests } from '#kinds/pod-resources.ts';
import { isPodTerminal, podCondition } from '#kinds/pod-template.ts';
import { NodeTable, type Request } from './node-table.ts';
import { type Cursor, explain, place } from './place.ts';
import { filters, type Plugins, scores } from './plugins.ts';

export interface SchedulerOptions {
  client: Client;
  clock: Clock;
  log: Log;
  /** `spec.schedulerName` that it answers to. */
  name?: string;
  plugins?: Plugins;
  /** Shared with other parts of the process, and theirs to end; absent: its own. */
  informers?: Informers;
}

interface Placed {
  node: string;
  request: Request;
}

/** A pod that found no node: how often, and when it last tried. */
interface Parked {
  failures: number;
  atMs: number;
}

const FIRST_BACKOFF_MS = 100;
const LAST_BACKOFF_MS = 10_000;
/** An unschedulable pod is tried again after this even if nothing seems to have changed. */
const LAST_LOOK_MS = 300_000;

/**
 * Binds pods without a node to nodes. Event-driven: a pod is tried when it comes, and again, with back-off, when something happens that
 * could help it (a node added or changed, a pod gone). A pod counts on its node from the decision on (assumed), not from when the
 * watch shows the binding.
 */
export class Scheduler implements AsyncDisposable {
  readonly #options: Required<Omit<SchedulerOptions, 'informers'>>;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #table = new NodeTable();
  readonly #placed = new Map<string, Placed>();
  readonly #parked = new Map<string, Parked>();
  readonly #cursor: Cursor = { next: 0 };
  readonly #queue: WorkQueue;
  readonly #events: EventRecorder;
  readonly #owned = new AsyncDisposableStack();

  constructor({ informers, ...options }: SchedulerOptions) {
    this.#options = { name: 'default-scheduler', plugins: { filters, scores }, ...options };
    const { client, clock, log, name } = this.#options;
    const shared = informers ?? this.#owned.use(new Informers({ client, clock, log }));
    this.#pods = shared.of(Pod);
    this.#nodes = shared.of(Node);
    this.#events = this.#owned.use(new EventRecorder({ client, component: name, clock, log }));
    this.#queue = this.#owned.use(
      new WorkQueue({
        clock,
        concurrency: 64,
        firstBackoffMs: 50,
        lastBackoffMs: LAST_BACKOFF_MS,
        work: key => this.#schedule(key),
        onError: (key, error, againInMs) => log.warn('a pod could not be bound', { pod: key, error: messageOf(error), againInMs }),
      }),
    );
  }

  /** Resolves when all nodes and all pods are known; pods are bound from then on, not before: what isn't known yet looks like room. */
  async start(): Promise<void> {
    await Promise.all([this.#nodes.start(), this.#pods.start()]);
    this.#owned.use(this.#nodes.subscribe(({ key, object, previous }) => this.#onNode(key, object, previous), { replay: true }));
    this.#owned.use(this.#pods.subscribe(({ key, object, previous }) => this.#onPod(key, object, previous), { replay: true }));
  }

  #onNode(name: string, node: Node | undefined, previous: Node | undefined): void {
    if (!node) {
      this.#table.remove(name);
      return;
    }
    const isNew = this.#table.rowOf(name) === undefined;
    const row = this.#table.put(node);
    if (isNew) for (const placed of this.#placed.values()) if (placed.node === name) this.#table.use(row, placed.request, 1);
    if (!previous || mayHelp(node, previous)) this.#wakeAll();
  }

  #onPod(key: string, pod: Pod | undefined, previous: Pod | undefined): void {
    const ended = !pod || isPodTerminal(pod);
    const placed = this.#placed.get(key);
    if (ended) {
      this.#parked.delete(key);
      if (placed) {
        this.#unplace(key, placed);
        this.#wakeAll();
      }
      return;
    }
    const node = pod.spec.nodeName;
    if (node) {
      this.#parked.delete(key);
      if (placed?.node === node && (!previous || previous.metadata.generation === pod.metadata.generation)) return;
      if (placed) this.#unplace(key, placed);
      this.#place(key, node, requestOf(pod));
    } else if (!placed && this.#isOurs(pod)) {
      // A parked pod waits for the world to change, or for its own spec to.
      const isSame = this.#parked.has(key) && previous && JSON.stringify(previous.spec) === JSON.stringify(pod.spec);
      if (!isSame) this.#queue.add(key);
    }
  }

  #isOurs({ metadata, spec }: Pod): boolean {
    return (
      (spec.schedulerName ?? 'default-scheduler') === this.#options.name &&
      !metadata.deletionTimestamp &&
      (spec.schedulingGates ?? []).length === 0
    );
  }

  async #schedule(key: string): Promise<number | undefined> {
    const pod = this.#pods.get(key);
    if (!pod || pod.spec.nodeName || this.#placed.has(key) || !this.#isOurs(pod)) return undefined;
    const request = requestOf(pod);
    const placement = place({ pod, request }, this.#table, this.#options.plugins, this.#cursor);
    if (placement.row === undefined) return this.#park(key, pod, explain(placement.reasons, this.#table.size));
    const { node } = placement;
    this.#place(key, node, request);
    try {
      const target = { apiVersion: 'v1', kind: 'Node', name: node };
      const { name, namespace, uid } = pod.metadata;
      await this.#options.client.createSubresource(Pod, parseKey(key), 'binding', {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name, namespace, uid },
        target,
      });
    } catch (error) {
      const placed = this.#placed.get(key);
      if (placed && !this.#pods.get(key)?.spec.nodeName) this.#unplace(key, placed);
      // Gone, or bound or replaced by somebody else: the watch will tell. Should it not, another look does no harm.
      if (isUmiakError(error, 'NotFound') || isUmiakError(error, 'Conflict')) return FIRST_BACKOFF_MS;
      throw error;
    }
    this.#parked.delete(key);
    this.#events.normal(pod, 'Scheduled', `Successfully assigned ${key} to ${node}`);
    return undefined;
  }

  /** Says why, and waits for something that may help. */
  async #park(key: string, pod: Pod, message: string): Promise<number> {
    const { client, clock } = this.#options;
    this.#parked.set(key, { failures: (this.#parked.get(key)?.failures ?? 0) + 1, atMs: clock.monotonic() });
    this.#events.warning(pod, 'FailedScheduling', message);
    const present = podCondition(pod, 'PodScheduled');
    if (present?.status !== 'False' || present.message !== message) {
      const lastTransitionTime = present?.status === 'False' ? present.lastTransitionTime : toTime(clock.now());
      const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message, lastTransitionTime };
      const patch = { metadata: { uid: pod.metadata.uid }, status: { conditions: [condition] } };
      try {
        await client.patch(Pod, pod.metadata, patch, { type: 'strategic', subresource: 'status' });
      } catch (error) {
        if (!isUmiakError(error, 'NotFound') && !isUmiakError(error, 'Conflict')) throw error;
      }
    }
    return LAST_LOOK_MS;
  }

  /** Something happened that could help: all parked pods get another try, those that failed often not before their pause is over. */
  #wakeAll(): void {
    const now = this.#options.clock.monotonic();
    for (const [key, { failures, atMs }] of this.#parked) {
      const pauseMs = failures <= 1 ? 0 : Math.min(FIRST_BACKOFF_MS * 2 ** (failures - 2), LAST_BACKOFF_MS);
      if (atMs + pauseMs <= now) this.#queue.add(key);
      else this.#queue.addAfter(key, atMs + pauseMs - now);
    }
  }

  #place(key: string, node: string, request: Request): void {
    this.#placed.set(key, { node, request });
    const row = this.#table.rowOf(node);
    if (row !== undefined) this.#table.use(row, request, 1);
  }

  #unplace(key: string, { node, request }: Placed): void {
    this.#placed.delete(key);
    const row = this.#table.rowOf(node);
    if (row !== undefined) this.#table.use(row, request, -1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

/** True when what changed in a node could let a pod in that it kept out before: a heartbeat could not. */
function mayHelp(node: Node, previous: Node): boolean {
  const relevant = ({ metadata, spec, status }: Node) =>
    JSON.stringify([metadata.labels, spec.taints ?? [], spec.unschedulable ?? false, status?.allocatable ?? status?.capacity]);
  return relevant(node) !== relevant(previous);
}

/** What the pod takes of a node, in the table's units. */
export function requestOf({ spec }: Pod): Request {
  const { cpu = 0, memory = 0, 'ephemeral-storage': ephemeral = 0, ...others } = podRequests(spec);
  return {
    cpuMilli: cpu,
    memoryBytes: memory,
    ephemeralBytes: ephemeral,
    extended: new Map(Object.entries(others)),
    hostPorts: hostPortsOf(spec).map(({ hostIP, protocol, hostPort }) => `${hostIP}/${protocol}/${hostPort}`),
  };
}
