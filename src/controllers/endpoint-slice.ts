import { matchesLabels, requirementsOf } from '#base/index.ts';
import { alsoWatch, defineController, done, type Reconciling } from '#client/index.ts';
import { EndpointSlice } from '#kinds/endpoint-slice.ts';
import type { Draft, Key } from '#kinds/kind.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodReady, isPodTerminal } from '#kinds/pod-template.ts';
import { Service } from '#kinds/service.ts';
import { ignoreAbsent } from './absence.ts';

export const SERVICE_NAME = 'kubernetes.io/service-name';
export const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
export const MANAGER = 'endpointslice-controller.k8s.io';
/** Endpoints a slice, as upstream's default. */
const SLICE_SIZE = 100;

type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];
type Port = NonNullable<EndpointSlice['ports']>[number];

/** Keeps the EndpointSlices of a Service with a selector true to the pods that it selects. */
export const endpointSliceController = defineController<Service>({
  name: 'endpointslice-controller',
  watches: Service,
  owns: [EndpointSlice],
  alsoWatches: [alsoWatch(Pod, servicesOf)],
  async reconcile(key, { client }) {
    const service = await client.get(Service, key);
    if (!service || service.metadata.deletionTimestamp || !service.spec.selector || service.spec.type === 'ExternalName') return done;
    const requirements = requirementsOf({ matchLabels: service.spec.selector });
    const pods = client
      .cached(Pod)
      .list(key.namespace)
      .filter(pod => matchesLabels(requirements, pod.metadata.labels));
    const present = client.listOwned(EndpointSlice, service).filter(slice => slice.metadata.labels?.[MANAGED_BY] === MANAGER);
    const { create, update, remove } = planSlices(service, pods, present);
    for (const slice of update) await ignoreAbsent(client.update(EndpointSlice, slice));
    for (const slice of create) await client.create(EndpointSlice, slice);
    for (const slice of remove) await ignoreAbsent(client.delete(EndpointSlice, slice.metadata));
    return done;
  },
});

function servicesOf(pod: Pod, { client }: Reconciling): Key[] {
  return client
    .cached(Service)
    .list(pod.metadata.namespace)
    .filter(({ spec }) => spec.selector && matchesLabels(requirementsOf({ matchLabels: spec.selector }), pod.metadata.labels))
    .map(({ metadata: { namespace, name } }) => ({ namespace, name }));
}

export interface SlicePlan {
  create: Draft<EndpointSlice>[];
  update: EndpointSlice[];
  remove: EndpointSlice[];
}

/** The least that must change: endpoints stay in the slice where they are, gaps are filled before slices are added. Pure. */
export function planSlices(service: Service, pods: readonly Pod[], present: readonly EndpointSlice[]): SlicePlan {
  const wanted = new Map<string, { ports: Port[]; endpoints: Map<string, Endpoint> }>();
  for (const pod of pods) {
    const endpoint = toEndpoint(service, pod);
    if (!endpoint) continue;
    const ports = portsFor(service, pod);
    const id = JSON.stringify(ports);
    const group = wanted.get(id) ?? { ports, endpoints: new Map<string, Endpoint>() };
    wanted.set(id, group);
    group.endpoints.set(addressOf(endpoint), endpoint);
  }
  const plan: SlicePlan = { create: [], update: [], remove: [] };
  const groupOf = (slice: EndpointSlice) => JSON.stringify((slice.ports ?? []).map(toComparablePort));
  for (const slice of present) if (!wanted.has(groupOf(slice))) plan.remove.push(slice);
  for (const [id, group] of wanted) {
    fillSlices(
      service,
      group,
      present.filter(slice => groupOf(slice) === id),
      plan,
    );
  }
  if (wanted.size === 0 && present.length === 0) plan.create.push(newSlice(service, portsFor(service, undefined), []));
  else if (wanted.size === 0) keepOneEmpty(service, present, plan);
  return plan;
}

/** A Service without pods keeps one slice, so that its readers see it is empty and not unknown. */
function keepOneEmpty(service: Service, present: readonly EndpointSlice[], plan: SlicePlan): void {
  const kept = present[0];
  if (!kept) return;
  plan.remove = present.slice(1);
  const ports = portsFor(service, undefined);
  if ((kept.endpoints?.length ?? 0) > 0 || JSON.stringify((kept.ports ?? []).map(toComparablePort)) !== JSON.stringify(ports)) {
    plan.update.push({ ...kept, ports, endpoints: [] });
  }
}

function fillSlices(
  service: Service,
  { ports, endpoints }: { ports: Port[]; endpoints: Map<string, Endpoint> },
  slices: EndpointSlice[],
  plan: SlicePlan,
): void {
  const homeless = new Map(endpoints);
  const kept = slices.map(slice => {
    const staying: Endpoint[] = [];
    for (const each of slice.endpoints ?? []) {
      const wanted = homeless.get(addressOf(each));
      if (!wanted) continue;
      staying.push(wanted);
      homeless.delete(addressOf(each));
    }
    return { slice, endpoints: staying };
  });
  const rest = [...homeless.values()];
  kept.sort((a, b) => b.endpoints.length - a.endpoints.length);
  for (const each of kept) {
    each.endpoints.push(...rest.splice(0, SLICE_SIZE - each.endpoints.length));
    if (each.endpoints.length === 0) plan.remove.push(each.slice);
    else if (JSON.stringify(each.endpoints) !== JSON.stringify((each.slice.endpoints ?? []).map(toComparable)))
      plan.update.push({ ...each.slice, endpoints: each.endpoints });
  }
  while (rest.length > 0) plan.create.push(newSlice(service, ports, rest.splice(0, SLICE_SIZE)));
}

function newSlice({ metadata, spec }: Service, ports: Port[], endpoints: Endpoint[]): Draft<EndpointSlice> {
  const headless = spec.clusterIP === 'None';
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      generateName: `${metadata.name}-`,
      namespace: metadata.namespace,
      labels: {
        ...metadata.labels,
        [SERVICE_NAME]: metadata.name,
        [MANAGED_BY]: MANAGER,
        ...(headless ? { 'service.kubernetes.io/headless': '' } : {}),
      },
      ownerReferences: [
        { apiVersion: 'v1', kind: 'Service', name: metadata.name, uid: metadata.uid, controller: true, blockOwnerDeletion: true },
      ],
    },
    addressType: 'IPv4',
    ports,
    endpoints,
  };
}

/** The pod as an endpoint; pods without an address or at their end are none. */
function toEndpoint(service: Service, pod: Pod): Endpoint | undefined {
  const address = pod.status?.podIP;
  if (!address || isPodTerminal(pod)) return undefined;
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const serving = isPodReady(pod);
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating);
  const { name, namespace, uid } = pod.metadata;
  const hostname = pod.spec.hostname && pod.spec.subdomain === service.metadata.name ? pod.spec.hostname : undefined;
  return toComparable({
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(hostname ? { hostname } : {}),
    nodeName: pod.spec.nodeName,
    targetRef: { kind: 'Pod', namespace, name, uid },
  });
}

/** One order of fields, so that equal endpoints are equal as text. */
function toComparable({ addresses, conditions, hostname, nodeName, targetRef }: Endpoint): Endpoint {
  return {
    addresses,
    conditions: { ready: conditions?.ready, serving: conditions?.serving, terminating: conditions?.terminating },
    ...(hostname ? { hostname } : {}),
    nodeName,
    targetRef: { kind: targetRef?.kind, namespace: targetRef?.namespace, name: targetRef?.name, uid: targetRef?.uid },
  };
}

function toComparablePort({ name = '', protocol = 'TCP', port, appProtocol }: Port): Port {
  return { name, protocol, ...(port === undefined ? {} : { port }), ...(appProtocol ? { appProtocol } : {}) };
}

/** The Service's ports with their numbers in this pod; a named target port that the pod lacks is left out. */
function portsFor(service: Service, pod: Pod | undefined): Port[] {
  const ports: Port[] = [];
  for (const { name, protocol, port, targetPort = port, appProtocol } of service.spec.ports ?? []) {
    const number =
      typeof targetPort === 'number' && targetPort > 0
        ? targetPort
        : pod
          ? namedPort(pod, String(targetPort), protocol ?? 'TCP')
          : undefined;
    if (number !== undefined) ports.push(toComparablePort({ name, protocol, port: number, appProtocol }));
  }
  return ports;
}

function namedPort(pod: Pod, name: string, protocol: string): number | undefined {
  for (const container of pod.spec.containers)
    for (const port of container.ports ?? []) if (port.name === name && (port.protocol ?? 'TCP') === protocol) return port.containerPort;
  return undefined;
}

function addressOf(endpoint: Endpoint): string {
  return endpoint.targetRef?.uid ?? endpoint.addresses[0] ?? '';
}
