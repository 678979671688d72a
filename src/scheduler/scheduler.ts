import { type Clock, isUmiakError, type Log, messageOf, toTime } from '#base/index.ts';
import { type Client, EventRecorder, Informer, parseKey, WorkQueue } from '#client/index.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';
import { hostPortsOf, podRequests } from '#kinds/pod-resources.ts';
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
}

interface Placed {
  node: string;
  request: Request;
}

const FIRST_BACKOFF_MS = 1_000;
const LAST_BACKOFF_MS = 10_000;
/** An unschedulable pod is tried again after this even if nothing seems to have changed. */
const LAST_LOOK_MS = 300_000;

/**
 * Binds pods without a node to nodes. Event-driven: a pod is tried when it comes, and again, with back-off, when something happens that
 * could help it (a node added or changed, a pod gone). A pod counts on its node from the decision on (assumed), not from when the
 * watch shows the binding.
 */
export class Scheduler implements AsyncDisposable {
  readonly #options: Required<SchedulerOptions>;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #table = new NodeTable();
  readonly #placed = new Map<string, Placed>();
  /** Pods that found no node, with how often. */
  readonly #unschedulable = new Map<string, number>();
  readonly #cursor: Cursor = { next: 0 };
  readonly #queue: WorkQueue;
  readonly #events: EventRecorder;

  constructor(options: SchedulerOptions) {
    this.#options = { name: 'default-scheduler', plugins: { filters, scores }, ...options };
    const { client, clock, log, name } = this.#options;
    this.#events = new EventRecorder({ client, component: name, clock, log });
    this.#pods = new Informer({ client, kind: Pod, clock, log });
    this.#nodes = new Informer({ client, kind: Node, clock, log });
    this.#queue = new WorkQueue({
      clock,
      concurrency: 64,
      firstBackoffMs: 50,
      lastBackoffMs: LAST_BACKOFF_MS,
      work: key => this.#schedule(key),
      onError: (key, error, againInMs) => log.warn('a pod could not be bound', { pod: key, error: messageOf(error), againInMs }),
    });
  }

  /** Resolves when nodes and pods are known; pods are bound from then on. */
  async start(): Promise<void> {
    this.#nodes.subscribe(({ key, object }) => {
      if (object) this.#table.put(object);
      else this.#table.remove(key);
      if (object) this.#recountNode(key);
      this.#wakeAll();
    });
    this.#pods.subscribe(({ key, object }) => this.#onPod(key, object));
    await this.#nodes.start();
    await this.#pods.start();
    for (const [key] of this.#unschedulable) this.#queue.add(key);
  }

  #onPod(key: string, pod: Pod | undefined): void {
    const ended = !pod || pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
    const placed = this.#placed.get(key);
    if (ended) {
      this.#unschedulable.delete(key);
      if (placed) {
        this.#unplace(key, placed);
        this.#wakeAll();
      }
      return;
    }
    const node = pod.spec.nodeName;
    if (node) {
      this.#unschedulable.delete(key);
      if (placed?.node === node) return;
      if (placed) this.#unplace(key, placed);
      this.#place(key, node, requestOf(pod));
    } else if (!placed && this.#isOurs(pod)) this.#queue.add(key);
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
      if (isUmiakError(error, 'NotFound') || isUmiakError(error, 'Conflict')) return undefined;
      throw error;
    }
    this.#unschedulable.delete(key);
    this.#events.normal(pod, 'Scheduled', `Successfully assigned ${key} to ${node}`);
    return undefined;
  }

  /** Says why, and waits for something that may help. */
  async #park(key: string, pod: Pod, message: string): Promise<number> {
    const failures = (this.#unschedulable.get(key) ?? 0) + 1;
    this.#unschedulable.set(key, failures);
    this.#events.warning(pod, 'FailedScheduling', message);
    const now = toTime(this.#options.clock.now());
    const present = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled');
    if (present?.status !== 'False' || present.message !== message) {
      const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message, lastTransitionTime: now };
      try {
        await this.#options.client.patch(
          Pod,
          pod.metadata,
          { status: { conditions: [condition] } },
          { type: 'strategic', subresource: 'status' },
        );
      } catch (error) {
        if (!isUmiakError(error, 'NotFound')) throw error;
      }
    }
    return LAST_LOOK_MS;
  }

  /** Something happened that could help: all parked pods get another try, those that failed often a little later. */
  #wakeAll(): void {
    for (const [key, failures] of this.#unschedulable) {
      if (failures <= 1) this.#queue.add(key);
      else this.#queue.addAfter(key, Math.min(FIRST_BACKOFF_MS * 2 ** (failures - 2), LAST_BACKOFF_MS));
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

  /** A node that comes (back) has an empty row: its pods are counted anew. */
  #recountNode(name: string): void {
    const row = this.#table.rowOf(name);
    if (row === undefined || (this.#table.podsUsed[row] ?? 0) > 0) return;
    for (const { node, request } of this.#placed.values()) if (node === name) this.#table.use(row, request, 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pods[Symbol.asyncDispose]();
    await this.#nodes[Symbol.asyncDispose]();
    await this.#queue[Symbol.asyncDispose]();
  }
}

const COUNTED = new Set(['cpu', 'memory', 'ephemeral-storage', 'pods']);

/** What the pod takes of a node, in the table's units. */
export function requestOf({ spec }: Pod): Request {
  const { cpu = 0, memory = 0, 'ephemeral-storage': ephemeral = 0, ...others } = podRequests(spec);
  return {
    cpuMilli: cpu,
    memoryBytes: memory,
    ephemeralBytes: ephemeral,
    extended: new Map(Object.entries(others).filter(([name]) => !COUNTED.has(name) && !name.startsWith('hugepages-'))),
    hostPorts: hostPortsOf(spec).map(({ hostIP, protocol, hostPort }) => `${hostIP}/${protocol}/${hostPort}`),
  };
}
