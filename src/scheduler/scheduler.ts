import { type Clock, isUmiakError, type Log, messageOf } from '#base/index.ts';
import { type Client, EventRecorder, type Informer, Informers } from '#client/index.ts';
import { Namespace } from '#kinds/namespace.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';
import { PodDisruptionBudget } from '#kinds/policy.ts';
import { Effects, type Outcome } from './effects.ts';
import { Feed } from './feed.ts';
import { OwnSelectors } from './own-selector.ts';
import { type Cursor, explain, type Misfit, place } from './place.ts';
import type { Happening, Plugins } from './plugin.ts';
import { createPlugins, type PluginOptions } from './plugins.ts';
import { planPreemption } from './preemption.ts';
import { SchedulingQueue } from './scheduling-queue.ts';
import { VolumeBinding } from './volume-binding.ts';
import { type Candidate, candidateOf, type Placed, World } from './world.ts';

/** A scheduler that pods choose by `spec.schedulerName`. */
export interface Profile extends Pick<PluginOptions, 'fit' | 'defaultConstraints'> {
  name: string;
}

export interface SchedulerOptions {
  client: Client;
  clock: Clock;
  log: Log;
  /** Default: one, `default-scheduler`. */
  profiles?: readonly Profile[];
  /** Shared with other parts of the process, and theirs to end; absent: its own. */
  informers?: Informers;
}

/** Bindings on their way to the API, at most; those that wait for volumes don't count. */
const MOST_BINDING = 64;
/** What pods are parked by when there were no nodes to ask a filter about. */
const NO_FILTER = '';
const BY_NONE: ReadonlySet<string> = new Set([NO_FILTER]);
/** Others get their turn after so long. */
const SLICE_MS = 4;

interface Running {
  plugins: Plugins;
  events: EventRecorder;
}

/**
 * Binds pods without a node to nodes, the most important first. Event-driven: a pod is tried when it comes, and again when something
 * happens that helps one of the filters that kept it out. A pod counts on its node from the decision on (assumed), not from when the
 * watch shows the binding.
 */
export class Scheduler implements AsyncDisposable {
  readonly #options: SchedulerOptions;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #namespaces: Informer<Namespace>;
  readonly #budgets: Informer<PodDisruptionBudget>;
  readonly #world: World;
  readonly #volumes: VolumeBinding;
  readonly #ownSelectors: OwnSelectors;
  readonly #profiles: ReadonlyMap<string, Running>;
  readonly #queue: SchedulingQueue;
  readonly #effects: Effects;
  readonly #cursor: Cursor = { next: 0 };
  readonly #working = new Set<Promise<void>>();
  /** Pods whose victims are being told to go. */
  readonly #preempting = new Set<string>();
  readonly #owned = new AsyncDisposableStack();
  #binding = 0;
  #isPumping = false;
  #isClosed = false;

  constructor({ informers, ...options }: SchedulerOptions) {
    this.#options = options;
    const { client, clock, log } = options;
    const shared = informers ?? this.#owned.use(new Informers({ client, clock, log }));
    this.#pods = shared.of(Pod);
    this.#nodes = shared.of(Node);
    this.#namespaces = shared.of(Namespace);
    this.#budgets = shared.of(PodDisruptionBudget);
    this.#world = new World({ namespaceLabels: name => this.#namespaces.get(name)?.metadata.labels });
    this.#effects = new Effects({ client, clock });
    this.#ownSelectors = this.#owned.use(new OwnSelectors(shared));
    this.#volumes = this.#owned.use(
      new VolumeBinding({ client, clock, informers: shared, onChange: claim => this.#happen({ type: 'volumes', claim }) }),
    );
    this.#profiles = new Map((options.profiles ?? [{ name: 'default-scheduler' }]).map(profile => [profile.name, this.#run(profile)]));
    this.#queue = this.#owned.use(new SchedulingQueue({ clock, onReady: () => this.#pump() }));
  }

  #run({ name, ...profile }: Profile): Running {
    const { client, clock, log } = this.#options;
    const ownSelector = (pod: Pod) => this.#ownSelectors.of(pod);
    return {
      plugins: createPlugins({ ...profile, volumes: [this.#volumes], ownSelector }),
      events: this.#owned.use(new EventRecorder({ client, component: name, clock, log })),
    };
  }

  /** Resolves when all nodes and all pods are known; pods are bound from then on, not before: what isn't known yet looks like room. */
  async start(): Promise<void> {
    const informers = [this.#nodes, this.#pods, this.#namespaces, this.#budgets];
    await Promise.all([this.#volumes.start(), this.#ownSelectors.start(), ...informers.map(informer => informer.start())]);
    const feed = new Feed({
      world: this.#world,
      queue: this.#queue,
      isOurs: pod => this.#isOurs(pod),
      onHappening: happening => this.#happen(happening),
    });
    this.#owned.use(this.#nodes.subscribe(({ key, object, previous }) => feed.onNode(key, object, previous), { replay: true }));
    this.#owned.use(this.#pods.subscribe(({ key, object, previous }) => feed.onPod(key, object, previous), { replay: true }));
    this.#owned.use(this.#namespaces.subscribe(({ object, previous }) => feed.onNamespace(object, previous)));
  }

  #isOurs({ metadata, spec }: Pod): boolean {
    return this.#profiles.has(spec.schedulerName ?? 'default-scheduler') && !metadata.deletionTimestamp && !spec.schedulingGates?.length;
  }

  /** Wakes the pods that it may help: those kept out by a filter that says so. */
  #happen(happening: Happening): void {
    if (happening.type === 'node') this.#queue.wake(NO_FILTER, () => true);
    const [any] = this.#profiles.values();
    for (const filter of any?.plugins.filters ?? []) {
      const helps = filter.helps[happening.type] as ((happening: Happening, candidate: Candidate, world: World) => boolean) | undefined;
      if (!helps) continue;
      this.#queue.wake(filter.name, key => {
        const pod = this.#pods.get(key);
        return pod !== undefined && helps(happening, candidateOf(key, pod), this.#world);
      });
    }
  }

  #pump(): void {
    if (this.#isPumping || this.#isClosed) return;
    this.#isPumping = true;
    setImmediate(() => {
      this.#isPumping = false;
      this.#drain();
    });
  }

  #drain(): void {
    const { clock } = this.#options;
    const until = clock.monotonic() + SLICE_MS;
    while (!this.#isClosed && this.#binding < MOST_BINDING) {
      const key = this.#queue.pop();
      if (key === undefined) return;
      this.#schedule(key);
      if (clock.monotonic() < until) continue;
      this.#pump();
      return;
    }
  }

  #schedule(key: string): void {
    const pod = this.#pods.get(key);
    if (!pod || pod.spec.nodeName || this.#world.pods.has(key) || !this.#isOurs(pod)) {
      this.#queue.remove(key);
      return;
    }
    const profile = this.#profiles.get(pod.spec.schedulerName ?? 'default-scheduler')!;
    const candidate = candidateOf(key, pod);
    const placement = place(candidate, this.#world, profile.plugins, this.#cursor);
    if (placement.row === undefined) this.#park(candidate, placement, profile);
    else this.#work(this.#bind(candidate, placement.node, profile), key);
  }

  async #bind(candidate: Candidate, node: string, { events }: Running): Promise<void> {
    const { key, pod } = candidate;
    const placed = this.#world.place(candidate, node);
    const volumes = this.#volumes.reserve(candidate, this.#nodes.get(node)!);
    let step = 'PreBind plugin "VolumeBinding"';
    let isCounted = false;
    try {
      if (volumes) await volumes.bind();
      step = 'Bind plugin "DefaultBinder"';
      isCounted = true;
      this.#binding += 1;
      await this.#effects.bind(candidate, node);
    } catch (error) {
      volumes?.release();
      this.#unbind(placed);
      // Gone, or bound or replaced by somebody else: the watch will tell. Should it not, another look does no harm.
      if (isUmiakError(error, 'NotFound') || isUmiakError(error, 'Conflict') || this.#isClosed) return;
      const message = `running ${step}: ${messageOf(error)}`;
      events.warning(pod, 'FailedScheduling', message);
      // Where even this can't be written, the next attempt says it.
      await this.#effects.tell(pod, { reason: 'SchedulerError', message }).catch(() => {});
      throw error;
    } finally {
      if (isCounted) this.#binding -= 1;
      this.#pump();
    }
    this.#queue.remove(key);
    this.#happen({ type: 'pod-came', placed });
    events.normal(pod, 'Scheduled', `Successfully assigned ${key} to ${node}`);
  }

  /** Takes a decision back that could not be carried out, unless it was all the same. */
  #unbind(placed: Placed): void {
    const { key, node } = placed;
    const pod = this.#pods.get(key);
    if (pod?.spec.nodeName) return;
    this.#world.unplace(placed);
    if (!pod) return;
    this.#happen({ type: 'pod-gone', placed, row: this.#world.table.rowOf(node) });
    this.#queue.retry(key);
  }

  /** Makes room if that harms only the less important, says why there is none, and waits for something that may help. */
  #park(candidate: Candidate, misfit: Misfit, { events }: Running): void {
    const { key, pod } = candidate;
    this.#queue.park(key, misfit.by.size > 0 ? misfit.by : BY_NONE);
    const { size } = this.#world.table;
    if (this.#preempting.has(key)) return;
    const nowMs = this.#options.clock.now();
    const budgets = this.#budgets.list();
    const plan =
      size > 0 ? planPreemption({ candidate, world: this.#world, misfit, budgets, nowMs, startAt: this.#cursor.next }) : undefined;
    const message = explain(misfit, size, plan && !plan.sacrifice ? plan.message : '');
    events.warning(pod, 'FailedScheduling', message);
    const outcome: Outcome = { reason: 'Unschedulable', message };
    if (plan?.sacrifice) {
      const { sacrifice } = plan;
      this.#preempting.add(key);
      outcome.nominatedNode = sacrifice.node;
      const displaced = this.#displace(candidate, sacrifice.node);
      this.#world.nominate(candidate, sacrifice.node);
      const act = async () => {
        try {
          await Promise.all([this.#effects.tell(pod, outcome), ...displaced.map(other => this.#effects.clearNomination(other))]);
          await this.#effects.preempt(candidate, sacrifice, events);
        } finally {
          this.#preempting.delete(key);
        }
      };
      this.#work(act(), key);
      return;
    }
    if (!plan?.message.startsWith('not eligible')) {
      this.#world.nominate(key, undefined);
      outcome.nominatedNode = null;
    }
    this.#work(this.#effects.tell(pod, outcome), key);
  }

  /** Less important pods for which room was being made on the node must look again. */
  #displace({ priority }: Candidate, node: string): Pod[] {
    const displaced = [...this.#world.nominatedTo(node)].filter(other => other.priority < priority);
    for (const { key } of displaced) {
      this.#world.nominate(key, undefined);
      this.#queue.wakeAll(key);
    }
    return displaced.map(({ pod }) => pod);
  }

  /** Work that others don't wait for. What fails is tried again with its pod. */
  #work(work: Promise<void>, key: string): void {
    const quiet = work
      .catch(error => {
        if (this.#isClosed) return;
        if (this.#queue.isParked(key)) this.#queue.retry(key);
        this.#options.log.warn('a pod could not be scheduled', { pod: key, error: messageOf(error) });
      })
      .finally(() => this.#working.delete(quiet));
    this.#working.add(quiet);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#volumes.close();
    await Promise.all(this.#working);
    await this.#owned.disposeAsync();
  }
}
