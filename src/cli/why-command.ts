import { UmiakError } from '#base/errors.ts';
import { formatLabelSelector, requirementsOf } from '#base/label-selector.ts';
import type { Client } from '#client/index.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import { Deployment } from '#kinds/deployment.ts';
import { EndpointSlice } from '#kinds/endpoint-slice.ts';
import { Event } from '#kinds/event.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { Node } from '#kinds/node.ts';
import { PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodReady } from '#kinds/pod-template.ts';
import { ReplicaSet } from '#kinds/replica-set.ts';
import { Secret } from '#kinds/secret.ts';
import { Service } from '#kinds/service.ts';
import type { Cluster } from './cluster.ts';
import type { PodFacts, Reference } from './explain-container.ts';
import { explainDeployment } from './explain-deployment.ts';
import { explainPod } from './explain-pod.ts';
import { explainService } from './explain-service.ts';
import { type Explanation, toText } from './explanation.ts';
import { logPath } from './logs.ts';
import { type OutputForm, printJson, type Streams } from './terminal.ts';

export type Explained = 'pod' | 'deployment' | 'service';

export interface WhyQuestion {
  kind: Explained;
  name: string;
  namespace: string;
  form: OutputForm;
  nowMs: number;
}

const KINDS: Record<string, Explained> = {
  pod: 'pod',
  pods: 'pod',
  po: 'pod',
  deployment: 'deployment',
  deployments: 'deployment',
  'deployment.apps': 'deployment',
  deploy: 'deployment',
  service: 'service',
  services: 'service',
  svc: 'service',
};

/** Reads `pod/x`, `deploy/x`, `svc/x`; a bare name is a pod's. Undefined for kinds that can't be explained. */
export function parseTarget(text: string): { kind: Explained; name: string } | undefined {
  const slash = text.indexOf('/');
  const kind = KINDS[slash < 0 ? 'pod' : text.slice(0, slash).toLowerCase()];
  const name = text.slice(slash + 1);
  return kind && name !== '' ? { kind, name } : undefined;
}

/** `umiak why`: what an object hangs on, and what to do. */
export async function printWhy(cluster: Cluster, streams: Streams, { kind, name, namespace, form, nowMs }: WhyQuestion): Promise<void> {
  const reader = new FactReader(cluster, namespace, nowMs);
  const explanation = await { pod: () => reader.pod(name), deployment: () => reader.deployment(name), service: () => reader.service(name) }[
    kind
  ]();
  if (form === 'json') printJson(streams, explanation);
  else streams.stdout.write(toText(explanation, streams));
}

const TAIL_LINES = 10;
const TAIL_BYTES = 16 * 1024;

/** Reads what explanations rest on, and has them made. */
class FactReader {
  readonly #cluster: Cluster;
  readonly #client: Client;
  readonly #namespace: string;
  readonly #nowMs: number;

  constructor(cluster: Cluster, namespace: string, nowMs: number) {
    this.#cluster = cluster;
    this.#client = cluster.client;
    this.#namespace = namespace;
    this.#nowMs = nowMs;
  }

  async pod(name: string): Promise<Explanation> {
    return explainPod(await this.#podFacts(found(await this.#client.get(Pod, this.#key(name)), 'pod', name, this.#namespace)));
  }

  async deployment(name: string): Promise<Explanation> {
    const deployment = found(await this.#client.get(Deployment, this.#key(name)), 'deployment', name, this.#namespace);
    const labelSelector = formatLabelSelector(requirementsOf(deployment.spec.selector));
    const [sets, pods] = await Promise.all([
      this.#client.list(ReplicaSet, { namespace: this.#namespace, labelSelector }),
      this.#client.list(Pod, { namespace: this.#namespace, labelSelector }),
    ]);
    const owned = sets.items.filter(({ metadata }) => metadata.ownerReferences?.some(({ uid }) => uid === deployment.metadata.uid));
    const ids = new Set(owned.map(({ metadata }) => metadata.uid));
    const its = pods.items.filter(({ metadata }) => metadata.ownerReferences?.some(({ uid }) => ids.has(uid)));
    const events = (await Promise.all([deployment, ...owned].map(each => this.#events(each)))).flat();
    return explainDeployment({ deployment, replicaSets: owned, events, pods: await this.#explainUnready(its) });
  }

  async service(name: string): Promise<Explanation> {
    const service = found(await this.#client.get(Service, this.#key(name)), 'service', name, this.#namespace);
    const { selector = {} } = service.spec;
    const [pods, slices] = await Promise.all([
      this.#client.list(Pod, { namespace: this.#namespace }),
      this.#client.list(EndpointSlice, { namespace: this.#namespace, labelSelector: `kubernetes.io/service-name=${name}` }),
    ]);
    const chosen = pods.items.filter(({ metadata: { labels } }) =>
      Object.entries(selector).every(([key, value]) => labels?.[key] === value),
    );
    const endpoints = slices.items.flatMap(slice => slice.endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false).length;
    const isSelecting = Object.keys(selector).length > 0;
    return explainService({ service, pods: pods.items, unready: isSelecting ? await this.#explainUnready(chosen) : [], endpoints });
  }

  #key(name: string): { namespace: string; name: string } {
    return { namespace: this.#namespace, name };
  }

  #explainUnready(pods: readonly Pod[]): Promise<Explanation[]> {
    const unready = pods.filter(pod => !isPodReady(pod) && pod.status?.phase !== 'Succeeded');
    return Promise.all(unready.map(async pod => explainPod(await this.#podFacts(pod))));
  }

  async #podFacts(pod: Pod): Promise<PodFacts> {
    const [events, node, references, logTails] = await Promise.all([
      this.#events(pod),
      this.#node(pod),
      this.#references(pod),
      this.#logTails(pod),
    ]);
    return { pod, events, nowMs: this.#nowMs, node, references, logTails };
  }

  async #events({ metadata }: KubeObject): Promise<Event[]> {
    const { items } = await this.#client.list(Event, { namespace: this.#namespace, fieldSelector: `involvedObject.uid=${metadata.uid}` });
    return items;
  }

  async #node({ spec }: Pod): Promise<PodFacts['node']> {
    if (!spec.nodeName) return undefined;
    const node = await this.#client.get(Node, { name: spec.nodeName });
    if (!node) return null;
    const ready = node.status?.conditions?.find(({ type }) => type === 'Ready');
    return { name: spec.nodeName, isReady: ready?.status === 'True', message: ready?.message };
  }

  /** ConfigMaps, Secrets and claims that the pod names, with their keys. */
  #references({ spec }: Pod): Promise<Reference[]> {
    const named = new Set<string>();
    for (const { env = [], envFrom = [] } of [...(spec.initContainers ?? []), ...spec.containers]) {
      for (const { configMapRef, secretRef } of envFrom) addNamed(named, configMapRef?.name, secretRef?.name);
      for (const { valueFrom } of env) addNamed(named, valueFrom?.configMapKeyRef?.name, valueFrom?.secretKeyRef?.name);
    }
    for (const { configMap, secret, persistentVolumeClaim, projected } of spec.volumes ?? []) {
      addNamed(named, configMap?.name, secret?.secretName, persistentVolumeClaim?.claimName);
      for (const source of projected?.sources ?? []) addNamed(named, source.configMap?.name, source.secret?.name);
    }
    return Promise.all(
      [...named].map(async text => {
        const [kind = '', name = ''] = text.split('/');
        return await this.#reference(kind as Reference['kind'], name);
      }),
    );
  }

  async #reference(kind: Reference['kind'], name: string): Promise<Reference> {
    const key = this.#key(name);
    if (kind === 'PersistentVolumeClaim')
      return { kind, name, keys: (await this.#client.get(PersistentVolumeClaim, key)) ? [] : undefined };
    if (kind === 'Secret') {
      const secret = await this.#client.get(Secret, key);
      return { kind, name, keys: secret && Object.keys(secret.data ?? {}) };
    }
    const map = await this.#client.get(ConfigMap, key);
    return { kind, name, keys: map && [...Object.keys(map.data ?? {}), ...Object.keys(map.binaryData ?? {})] };
  }

  /** The last lines of containers that are not well; none where the log can't be read. */
  async #logTails({ metadata, status }: Pod): Promise<Record<string, string[]>> {
    const statuses = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
    const unwell = statuses.filter(
      ({ state, lastState, ready }) => !ready && (state?.running || state?.terminated?.exitCode || lastState?.terminated),
    );
    const tails = await Promise.all(
      unwell.map(async ({ name, state, lastState }) => {
        const isPrevious = state?.waiting !== undefined && lastState?.terminated !== undefined;
        const now = await this.#logTail(metadata.name, name, false);
        return [name, now.length > 0 || !isPrevious ? now : await this.#logTail(metadata.name, name, true)] as const;
      }),
    );
    return Object.fromEntries(tails);
  }

  async #logTail(pod: string, container: string, isPrevious: boolean): Promise<string[]> {
    const path = logPath(pod, { namespace: this.#namespace, container, tail: TAIL_LINES, isPrevious });
    try {
      const body = await this.#cluster.open(path, AbortSignal.timeout(5_000));
      const text = Buffer.concat(await body.toArray())
        .subarray(-TAIL_BYTES)
        .toString()
        .trimEnd();
      return text === '' ? [] : text.split('\n');
    } catch {
      // The log is a help, not the matter: without it the explanation still stands.
      return [];
    }
  }
}

function addNamed(named: Set<string>, configMap: string | undefined, secret: string | undefined, claim?: string | undefined): void {
  if (configMap) named.add(`ConfigMap/${configMap}`);
  if (secret) named.add(`Secret/${secret}`);
  if (claim) named.add(`PersistentVolumeClaim/${claim}`);
}

function found<T>(object: T | undefined, kind: string, name: string, namespace: string): T {
  if (object) return object;
  throw new UmiakError('NotFound', `there is no ${kind} ${name} in namespace ${namespace}`, {
    hint: 'umiak ps lists pods of all namespaces; -n names one.',
  });
}
