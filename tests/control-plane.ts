/**
 * For tests of controllers and scheduler: a real store, a real API server, the control plane on it, and in place of real nodes a
 * script that says of bound pods what a kubelet would say. Tests wait for conditions, which are asked after every change that a
 * watch brings.
 */
import type { NodeConnector } from '#apiserver/node-connector.ts';
import { startTestCluster, type TestCluster } from '#apiserver/test-cluster.ts';
import { type Clock, isUmiakError, type Log, silentLog, systemClock, toTime, UmiakError } from '#base/index.ts';
import { type Client, createClient, Informers, runControllers } from '#client/index.ts';
import { type CoreControllersOptions, CustomKinds, coreControllers, GarbageCollector, ownableKinds } from '#controllers/index.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import { Deployment } from '#kinds/deployment.ts';
import { EndpointSlice } from '#kinds/endpoint-slice.ts';
import { Event } from '#kinds/event.ts';
import { groupResourceOf, type Key, type Kind, type KubeObject } from '#kinds/kind.ts';
import { Lease } from '#kinds/lease.ts';
import { Namespace } from '#kinds/namespace.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodReady } from '#kinds/pod-template.ts';
import { builtinKinds } from '#kinds/registry.ts';
import { ReplicaSet } from '#kinds/replica-set.ts';
import { Service } from '#kinds/service.ts';
import { ServiceAccount } from '#kinds/service-account.ts';
import { Scheduler } from '#scheduler/index.ts';

const WATCHED: readonly Kind[] = [
  ConfigMap,
  Deployment,
  EndpointSlice,
  Event,
  Lease,
  Namespace,
  Node,
  Pod,
  ReplicaSet,
  Service,
  ServiceAccount,
];

export interface ControlPlaneOptions {
  clock?: Clock;
  log?: Log;
  nodes?: number;
  nodeGraceMs?: number;
  /** Kinds that the view shows besides the everyday ones. */
  also?: readonly Kind[];
  /** What the scripted kubelet does; default: every pod becomes ready and goes at once when it is told to. */
  kubelet?: Kubelet;
  /** The way to scripted nodes. */
  nodeConnector?: NodeConnector;
  /** Without controllers, for tests of single parts. */
  idle?: boolean;
}

/** What a node would do with its pods; may be changed during a test. */
export interface Kubelet {
  isReady?: (pod: Pod) => boolean;
  /** Pods that, told to end, don't yet. */
  isStubborn?: (pod: Pod) => boolean;
}

/** The cluster as a watch showed it last. */
export class View {
  readonly #informers: Informers;

  constructor(informers: Informers) {
    this.#informers = informers;
  }

  get<T extends KubeObject>(kind: Kind<T>, key: Key): T | undefined {
    return this.#informers.known(kind).get(key);
  }

  list<T extends KubeObject>(kind: Kind<T>, namespace?: string): T[] {
    return this.#informers.known(kind).list(namespace);
  }
}

export class ControlPlane implements AsyncDisposable {
  readonly cluster: TestCluster;
  readonly client: Client;
  readonly view: View;
  readonly kubelet: Kubelet;
  readonly #options: ControlPlaneOptions;
  readonly #informers: Informers;
  readonly #listeners = new Set<() => void>();
  readonly #working = new Set<Promise<unknown>>();
  #failure: unknown;
  #lifeline = { isCut: false };
  #running: AsyncDisposableStack | undefined;
  readonly #addresses = new Map<string, number>();

  static async start(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
    const { clock, nodeConnector } = options;
    const cluster = await startTestCluster({ ...(clock && { clock }), ...(nodeConnector && { nodeConnector }) });
    const plane = new ControlPlane(cluster, options);
    await plane.#follow();
    for (let index = 0; index < (options.nodes ?? 1); index++) await plane.addNode(`node-${index}`);
    if (options.idle) await plane.#makeDefaultAccount();
    else await plane.startControllers();
    return plane;
  }

  private constructor(cluster: TestCluster, options: ControlPlaneOptions) {
    this.cluster = cluster;
    this.client = cluster.client;
    this.kubelet = options.kubelet ?? {};
    this.#options = options;
    this.#informers = new Informers({ client: this.client, clock: systemClock, log: options.log ?? silentLog });
    this.view = new View(this.#informers);
  }

  async #follow(): Promise<void> {
    const watched = [...WATCHED, ...(this.#options.also ?? [])];
    for (const kind of watched)
      this.#informers.of(kind).subscribe(() => {
        for (const listener of this.#listeners) listener();
      });
    this.#informers.of(Pod).subscribe(({ object }) => object && this.#play(object));
    await Promise.all(watched.map(kind => this.#informers.of(kind).start()));
  }

  /** Without controllers nobody else makes what every pod needs. */
  async #makeDefaultAccount(): Promise<void> {
    const metadata = { name: 'default', namespace: 'default' };
    await this.client.create(ServiceAccount, { apiVersion: 'v1', kind: 'ServiceAccount', metadata });
  }

  /** Starts the control plane as the server does, on informers that all parts share. */
  async startControllers(): Promise<void> {
    const clock = this.#options.clock ?? systemClock;
    const { log = silentLog, nodeGraceMs: graceMs } = this.#options;
    await using stack = new AsyncDisposableStack();
    const line = this.#lifeline;
    const wire = this.cluster.server.local({ name: 'system:kube-controller-manager', groups: ['system:masters'] });
    const client = createClient({
      watch: request => wire.watch(request),
      async request(request) {
        if (line.isCut) throw new UmiakError('ServiceUnavailable', 'the process has been killed');
        return wire.request(request);
      },
    });
    const informers = stack.use(new Informers({ client, clock, log }));
    const scheduler = stack.use(new Scheduler({ client, informers, clock, log: log.part('scheduler') }));
    const customKinds = stack.use(new CustomKinds({ client, informers, clock, log: log.part('custom-kinds') }));
    const kinds = ownableKinds(builtinKinds);
    const garbage = stack.use(new GarbageCollector({ client, informers, kinds, customKinds, clock, log: log.part('garbage-collector') }));
    const options: CoreControllersOptions = { caPem: 'the authority', customKinds, ...(graceMs === undefined ? {} : { graceMs }) };
    stack.use(await runControllers({ client, informers, controllers: coreControllers(options), clock, log }));
    await Promise.all([scheduler.start(), garbage.start()]);
    this.#running = stack.move();
  }

  /** Ends the control plane. `abruptly`: nothing that it was about to do comes through any more, as if it had been killed between two calls. */
  async stopControllers({ abruptly = false }: { abruptly?: boolean } = {}): Promise<void> {
    if (abruptly) this.#lifeline.isCut = true;
    this.#lifeline = { isCut: false };
    const running = this.#running;
    this.#running = undefined;
    await running?.disposeAsync();
  }

  /** Waits until `isSo`, asked after every change that the watches bring. Rejects with what the cluster looked like if it isn't in time. */
  async until(what: string, isSo: (view: View) => boolean, deadlineMs = 20_000): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const ask = () => {
      try {
        if (this.#failure) reject(this.#failure);
        else if (isSo(this.view)) resolve();
      } catch (error) {
        reject(error);
      }
    };
    const timer = setTimeout(() => reject(new Error(`not within ${deadlineMs} ms: ${what}\n${this.#describe()}`)), deadlineMs);
    this.#listeners.add(ask);
    try {
      ask();
      await promise;
    } finally {
      clearTimeout(timer);
      this.#listeners.delete(ask);
    }
  }

  /** Calls `check` at every change until disposed; what it throws ends the next (or present) `until`. */
  always(check: (view: View) => void): Disposable {
    const run = () => {
      try {
        check(this.view);
      } catch (error) {
        this.#failure ??= error;
      }
    };
    this.#listeners.add(run);
    return { [Symbol.dispose]: () => void this.#listeners.delete(run) };
  }

  async addNode(
    name: string,
    { cpu = '64', pods = '300', labels = {} }: { cpu?: string; pods?: string; labels?: Record<string, string> } = {},
  ) {
    const allocatable = { cpu, memory: '256Gi', pods, 'ephemeral-storage': '1Ti' };
    const node = await this.client.create(Node, { apiVersion: 'v1', kind: 'Node', metadata: { name, labels }, spec: {} });
    const now = toTime((this.#options.clock ?? systemClock).now());
    const conditions = [{ type: 'Ready', status: 'True', reason: 'KubeletReady', lastHeartbeatTime: now, lastTransitionTime: now }];
    return this.client.updateStatus(Node, { ...node, status: { allocatable, capacity: allocatable, conditions } });
  }

  async namespace(name: string): Promise<string> {
    await this.client.create(Namespace, { apiVersion: 'v1', kind: 'Namespace', metadata: { name }, spec: {} });
    return name;
  }

  /** Has the kubelet look at all pods again, after its script changed. */
  replay(): void {
    for (const pod of this.view.list(Pod)) this.#play(pod);
  }

  /** Says of a pod what a kubelet would. */
  #play(pod: Pod): void {
    if (!pod.spec.nodeName) return;
    const { isReady = () => true, isStubborn = () => false } = this.kubelet;
    if (pod.metadata.deletionTimestamp) {
      const { uid } = pod.metadata;
      if (!isStubborn(pod)) this.#do(this.client.delete(Pod, pod.metadata, { gracePeriodSeconds: 0, preconditions: { uid } }));
      return;
    }
    if (pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded') return;
    const ready = isReady(pod);
    if (pod.status?.phase === 'Running' && isPodReady(pod) === ready) return;
    this.#do(this.setStatus(pod, 'Running', ready));
  }

  async setStatus(pod: Pod, phase: string, ready: boolean): Promise<void> {
    const lastTransitionTime = toTime((this.#options.clock ?? systemClock).now());
    const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime }];
    const podIP = pod.status?.podIP ?? this.#addressOf(pod.metadata.uid);
    const startTime = pod.status?.startTime ?? lastTransitionTime;
    const status = { phase, podIP, podIPs: [{ ip: podIP }], startTime, conditions };
    await this.client.patch(
      Pod,
      pod.metadata,
      { metadata: { uid: pod.metadata.uid }, status },
      { type: 'strategic', subresource: 'status' },
    );
  }

  /** The same for a pod that is told of again before its status has come. */
  #addressOf(uid: string): string {
    const number = this.#addresses.get(uid) ?? this.#addresses.size + 1;
    this.#addresses.set(uid, number);
    return `10.${1 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
  }

  /** A kubelet's call: that the pod is gone or another by then is life; anything else fails the test. */
  #do(work: Promise<unknown>): void {
    const quiet = work
      .catch(error => {
        if (!isUmiakError(error, 'NotFound') && !isUmiakError(error, 'Conflict')) this.#failure ??= error;
      })
      .finally(() => this.#working.delete(quiet));
    this.#working.add(quiet);
  }

  #describe(): string {
    const lines = [Deployment, ReplicaSet, Pod].flatMap(kind =>
      this.view
        .list<KubeObject & { spec?: { replicas?: number; nodeName?: string }; status?: object }>(kind as never)
        .slice(0, 30)
        .map(({ metadata, spec, status }) => {
          const { replicas, nodeName } = spec ?? {};
          return `${groupResourceOf(kind.resource)} ${metadata.namespace}/${metadata.name} ${JSON.stringify({ replicas, nodeName, status, going: metadata.deletionTimestamp })}`;
        }),
    );
    const events = this.view.list(Event).slice(-20);
    return [...lines, ...events.map(({ reason, message, involvedObject }) => `event ${involvedObject.name}: ${reason} ${message}`)].join(
      '\n',
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopControllers();
    this.#listeners.clear();
    await this.#informers[Symbol.asyncDispose]();
    await Promise.all(this.#working);
    await this.cluster[Symbol.asyncDispose]();
  }
}
