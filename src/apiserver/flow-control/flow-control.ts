import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import type { KubeObject } from '#kinds/kind.ts';
import type { FlowSchema, PriorityLevelConfiguration } from '#kinds/types.gen.ts';
import type { Gauge } from '../metrics.ts';
import type { Step } from '../pipeline.ts';
import type { Context, Outcome } from '../request.ts';
import { bootstrapFlows, bootstrapLevels } from './bootstrap-flows.ts';
import { distinguisherOf, type FlowRequest, fitsFlow, inOrder } from './flow-matching.ts';
import type { Waiting } from './queue-set.ts';
import { type Level, Seats } from './seats.ts';

export interface FlowControlOptions {
  clock: Clock;
  /** Requests served at the same time, over all levels. */
  seats?: number;
  /** How long one may wait for its turn. */
  mostWaitMs?: number;
}

/** The kinds `FlowControl.observe` wants to see, as `group/plural`. */
export const OBSERVED_FLOWS = ['flowcontrol.apiserver.k8s.io/flowschemas', 'flowcontrol.apiserver.k8s.io/prioritylevelconfigurations'];

const LONG = new Set(['log', 'exec', 'attach', 'portforward', 'proxy']);
const MOST_SEATS = 10;

/**
 * API priority and fairness: FlowSchemas sort requests into priority levels, each level has its seats, and who finds none waits in a
 * queue of its flow or is told to come again. Who finds a seat at once pays for a look at the schemas and two counters.
 */
export class FlowControl {
  readonly #options: Required<FlowControlOptions>;
  readonly #schemas = new Map<string, FlowSchema>();
  readonly #levels = new Map<string, PriorityLevelConfiguration>();
  readonly #seats = new Seats();
  #ordered: FlowSchema[] = [];

  constructor(options: FlowControlOptions) {
    this.#options = { seats: 600, mostWaitMs: 15_000, ...options };
    // Until the cluster's own are there (and should somebody delete them): as every cluster begins.
    for (const each of bootstrapLevels()) this.#levels.set(each.metadata.name, each as PriorityLevelConfiguration);
    for (const each of bootstrapFlows()) this.#schemas.set(each.metadata.name, each as FlowSchema);
    this.#configure();
  }

  /** To be told of every FlowSchema and PriorityLevelConfiguration and its changes. */
  observe(object: KubeObject, deleted = false): void {
    const { name } = object.metadata;
    if (object.kind === 'FlowSchema') put(this.#schemas, name, object as FlowSchema, deleted);
    else if (object.kind === 'PriorityLevelConfiguration') put(this.#levels, name, object as PriorityLevelConfiguration, deleted);
    else return;
    this.#configure();
  }

  #configure(): void {
    this.#ordered = inOrder(this.#schemas.values()).filter(({ spec }) => this.#levels.has(spec.priorityLevelConfiguration.name));
    this.#seats.configure([...this.#levels.values()], this.#options.seats);
  }

  /** Upstream's names for how wide the levels are, what they serve and who waits. */
  gauges(): Gauge[] {
    const of = (value: (level: Level) => number): [string, number][] =>
      [...this.#seats.entries()].map(([name, level]) => [`priority_level="${name}"`, value(level)]);
    return [
      ['apiserver_flowcontrol_nominal_limit_seats', 'Seats of a priority level.', of(({ plan }) => plan.nominal)],
      ['apiserver_flowcontrol_current_executing_seats', 'Seats in use.', of(({ executing }) => executing)],
      ['apiserver_flowcontrol_current_inqueue_requests', 'Requests that wait.', of(({ queues }) => queues?.length ?? 0)],
    ];
  }

  /** How many are served and wait in a level. */
  usage(name: string): { executing: number; waiting: number } {
    const level = this.#seats.get(name);
    return { executing: level?.executing ?? 0, waiting: level?.queues?.length ?? 0 };
  }

  /** The step of the pipeline. Callers in this process and streams are not counted; a watch only until it has begun. */
  readonly step: Step = (context, next) => {
    const { request, route } = context;
    if (request.identity || (route.type === 'resource' && LONG.has(route.subresource))) return next();
    const asked = toFlowRequest(context);
    const schema = this.#ordered.find(each => fitsFlow(each, asked));
    const configuration = schema && this.#levels.get(schema.spec.priorityLevelConfiguration.name);
    if (!schema || !configuration) throw tooMany();
    request.extraHeaders ??= {};
    request.extraHeaders['x-kubernetes-pf-flowschema-uid'] = schema.metadata.uid ?? '';
    request.extraHeaders['x-kubernetes-pf-prioritylevel-uid'] = configuration.metadata.uid ?? '';
    const level = configuration.spec.type === 'Limited' ? this.#seats.get(configuration.metadata.name) : undefined;
    if (!level) return next();
    const seats = seatsOf(context);
    if (this.#seats.take(level, seats)) return this.#serve(level, seats, next);
    return this.#wait(level, seats, `${schema.metadata.name}/${distinguisherOf(schema, asked)}`, context).then(() =>
      this.#serve(level, seats, next),
    );
  };

  #serve(level: Level, seats: number, next: () => Promise<Outcome>): Promise<Outcome> {
    const free = () => this.#seats.free(level, seats);
    const work = next();
    work.then(free, free);
    return work;
  }

  /** Resolves when the seats are taken for this one. @throws `TooManyRequests` when the queue is full, or the wait too long */
  async #wait(level: Level, seats: number, flow: string, { request }: Context): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting: Waiting = { seats, start: resolve };
    if (!level.queues?.add(flow, waiting)) throw tooMany();
    const giveUp = () => {
      if (level.queues?.remove(waiting)) reject(tooMany());
    };
    using _timer = this.#options.clock.after(this.#options.mostWaitMs, giveUp);
    request.signal.addEventListener('abort', giveUp, { once: true });
    try {
      await promise;
    } finally {
      request.signal.removeEventListener('abort', giveUp);
    }
  }
}

function put<T>(map: Map<string, T>, name: string, value: T, deleted: boolean): void {
  if (deleted) map.delete(name);
  else map.set(name, value);
}

function toFlowRequest({ identity, route }: Context): FlowRequest {
  if (route.type === 'path') return { identity, verb: route.verb, group: '', resource: undefined, namespace: '', path: route.path };
  const { served, verb, namespace, subresource } = route;
  const { group, plural } = served.resource;
  return { identity, verb, group, resource: subresource ? `${plural}/${subresource}` : plural, namespace, path: '' };
}

/** A list of many objects is as much work as many requests. */
function seatsOf({ route, query }: Context): number {
  if (route.type === 'path' || (route.verb !== 'list' && route.verb !== 'deletecollection')) return 1;
  const all = route.served.cache?.size ?? 0;
  const limit = Number(query.get('limit') || all);
  return Math.min(MOST_SEATS, Math.max(1, Math.ceil(Math.min(all, limit > 0 ? limit : all) / 100)));
}

function tooMany(): UmiakError {
  return new UmiakError('TooManyRequests', 'The server is busy with other requests, please try again later.', {
    details: { retryAfterSeconds: 1 },
  });
}
