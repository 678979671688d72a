import { type LabelRequirement, matchesLabels, requirementsOf } from '#base/label-selector.ts';
import { controllerOf, type Informer } from '#client/informer.ts';
import type { Informers } from '#client/informers.ts';
import type { Pod } from '#kinds/pod.ts';
import { ReplicaSet } from '#kinds/replica-set.ts';
import { ReplicationController } from '#kinds/replication-controller.ts';
import { Service } from '#kinds/service.ts';
import { StatefulSet } from '#kinds/stateful-set.ts';

/** What a pod's Services and its controller select by: the pods that count as its like when pods are spread by default. */
export class OwnSelectors implements Disposable {
  readonly #services: Informer<Service>;
  readonly #replicaSets: Informer<ReplicaSet>;
  readonly #statefulSets: Informer<StatefulSet>;
  readonly #replicationControllers: Informer<ReplicationController>;
  /** Services' selectors by namespace; read anew after a Service changed. */
  readonly #selectors = new Map<string, LabelRequirement[][]>();
  #subscription: Disposable | undefined;

  constructor(informers: Informers) {
    this.#services = informers.of(Service);
    this.#replicaSets = informers.of(ReplicaSet);
    this.#statefulSets = informers.of(StatefulSet);
    this.#replicationControllers = informers.of(ReplicationController);
  }

  async start(): Promise<void> {
    this.#subscription = this.#services.subscribe(({ key }) => this.#selectors.delete(key.slice(0, key.indexOf('/'))));
    const informers = [this.#services, this.#replicaSets, this.#statefulSets, this.#replicationControllers];
    await Promise.all(informers.map(informer => informer.start()));
  }

  /** All requirements together; undefined when the pod belongs to nothing. */
  of(pod: Pod): readonly LabelRequirement[] | undefined {
    const found = this.#servicesOf(pod.metadata.namespace ?? '').filter(selector => matchesLabels(selector, pod.metadata.labels));
    const requirements = [...found.flat(), ...this.#controllersSelector(pod)];
    return requirements.length > 0 ? requirements : undefined;
  }

  #servicesOf(namespace: string): readonly LabelRequirement[][] {
    let known = this.#selectors.get(namespace);
    if (!known) {
      known = this.#services
        .list(namespace)
        .flatMap(({ spec: { selector } }) =>
          selector && Object.keys(selector).length > 0 ? [requirementsOf({ matchLabels: selector })] : [],
        );
      this.#selectors.set(namespace, known);
    }
    return known;
  }

  #controllersSelector(pod: Pod): LabelRequirement[] {
    const owner = controllerOf(pod);
    if (!owner) return [];
    const key = { namespace: pod.metadata.namespace ?? '', name: owner.name };
    switch (owner.kind) {
      case 'ReplicaSet':
        return selectorOf(this.#replicaSets.get(key)?.spec.selector);
      case 'StatefulSet':
        return selectorOf(this.#statefulSets.get(key)?.spec.selector);
      case 'ReplicationController':
        return selectorOf({ matchLabels: this.#replicationControllers.get(key)?.spec?.selector });
      default:
        return [];
    }
  }

  [Symbol.dispose](): void {
    this.#subscription?.[Symbol.dispose]();
  }
}

function selectorOf(selector: Parameters<typeof requirementsOf>[0]): LabelRequirement[] {
  return selector ? requirementsOf(selector) : [];
}
