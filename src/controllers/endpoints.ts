import { matchesLabels, requirementsOf } from '#base/index.ts';
import { alsoWatch, defineController, done } from '#client/index.ts';
import { Endpoints } from '#kinds/core.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import type { Draft } from '#kinds/kind.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodReady, isPodTerminal } from '#kinds/pod-template.ts';
import { Service } from '#kinds/service.ts';
import { ignoreAbsent, ignorePresent } from './absence.ts';
import { portsFor, servicesOf } from './endpoint-slice.ts';

const MANAGED_BY = 'endpoints.kubernetes.io/managed-by';
const MANAGER = 'endpoint-controller';
const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity';
const HEADLESS = 'service.kubernetes.io/headless';
/** Addresses that one object may have, as upstream bounds it. */
const MOST_ADDRESSES = 1000;

type Subset = NonNullable<Endpoints['subsets']>[number];
type Address = NonNullable<Subset['addresses']>[number];

/** Keeps the Endpoints object of a Service with a selector, which older clients read in place of EndpointSlices. */
export const endpointsController = defineController<Service>({
  name: 'endpoint-controller',
  watches: Service,
  alsoWatches: [alsoWatch(Pod, servicesOf), alsoWatch(Endpoints, ({ metadata: { namespace, name } }) => [{ namespace, name }])],
  async reconcile(key, { client }) {
    const service = await client.get(Service, key);
    const present = client.cached(Endpoints).get(key);
    if (!service) {
      // Those that people made for a Service without a selector go with it, too.
      if (present) await ignoreAbsent(client.delete(Endpoints, key, { preconditions: { uid: present.metadata.uid } }));
      return done;
    }
    const { selector, type } = service.spec;
    if (!selector || type === 'ExternalName') return done;
    const requirements = requirementsOf({ matchLabels: selector });
    const pods = client
      .cached(Pod)
      .list(key.namespace)
      .filter(pod => matchesLabels(requirements, pod.metadata.labels));
    const wanted = planEndpoints(service, pods, present);
    if (!wanted) return done;
    if (present) await ignoreAbsent(client.update(Endpoints, wanted as Endpoints));
    else await ignorePresent(client.create(Endpoints, wanted));
    return done;
  },
});

/** What the object has to say; undefined when it says so already. Pure. */
export function planEndpoints(service: Service, pods: readonly Pod[], present: Endpoints | undefined): Draft<Endpoints> | undefined {
  const { name, namespace } = service.metadata;
  const { subsets, isCut } = toSubsets(service, pods);
  const { [HEADLESS]: _headless, ...before } = present?.metadata.labels ?? {};
  const labels = {
    ...before,
    ...service.metadata.labels,
    [MANAGED_BY]: MANAGER,
    ...(service.spec.clusterIP === 'None' ? { [HEADLESS]: '' } : {}),
  };
  const { [OVER_CAPACITY]: _cut, ...kept } = present?.metadata.annotations ?? {};
  const annotations = isCut ? { ...kept, [OVER_CAPACITY]: 'truncated' } : kept;
  const isSo =
    present &&
    jsonEqual(present.subsets ?? [], subsets) &&
    jsonEqual(present.metadata.labels ?? {}, labels) &&
    jsonEqual(present.metadata.annotations ?? {}, annotations);
  if (isSo) return undefined;
  return { apiVersion: 'v1', kind: 'Endpoints', metadata: { ...present?.metadata, name, namespace, labels, annotations }, subsets };
}

/** Addresses by the ports that they have, in a stable order; those that are ready stay when there are too many. */
function toSubsets(service: Service, pods: readonly Pod[]): { subsets: Subset[]; isCut: boolean } {
  const groups = new Map<string, { ports: Subset['ports']; ready: Address[]; notReady: Address[] }>();
  const candidates = pods.filter(pod => pod.status?.podIP && !isPodTerminal(pod)).sort((a, b) => compare(a.metadata.uid, b.metadata.uid));
  const publishesAll = service.spec.publishNotReadyAddresses === true;
  const isReady = (pod: Pod) => publishesAll || isPodReady(pod);
  const shown = candidates.filter(pod => publishesAll || pod.metadata.deletionTimestamp === undefined);
  const kept = [...shown.filter(isReady), ...shown.filter(pod => !isReady(pod))].slice(0, MOST_ADDRESSES);
  for (const pod of kept) {
    const ports = portsFor(service, pod).map(
      ({ name, ...port }) => ({ ...(name ? { name } : {}), ...port }) as NonNullable<Subset['ports']>[number],
    );
    if (ports.length === 0 && (service.spec.ports?.length ?? 0) > 0) continue;
    const id = JSON.stringify(ports);
    const group = groups.get(id) ?? { ports, ready: [], notReady: [] };
    groups.set(id, group);
    (isReady(pod) ? group.ready : group.notReady).push(toAddress(service, pod));
  }
  const subsets = [...groups.entries()]
    .sort(([a], [b]) => compare(a, b))
    .map(([, { ports, ready, notReady }]) => ({
      ...(ready.length > 0 ? { addresses: ready } : {}),
      ...(notReady.length > 0 ? { notReadyAddresses: notReady } : {}),
      ...(ports && ports.length > 0 ? { ports } : {}),
    }));
  return { subsets, isCut: kept.length < shown.length };
}

function toAddress({ metadata }: Service, pod: Pod): Address {
  const { name, namespace, uid } = pod.metadata;
  const hostname = pod.spec.hostname && pod.spec.subdomain === metadata.name ? { hostname: pod.spec.hostname } : {};
  return {
    ...hostname,
    ip: pod.status?.podIP ?? '',
    ...(pod.spec.nodeName ? { nodeName: pod.spec.nodeName } : {}),
    targetRef: { kind: 'Pod', name, namespace, uid },
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
