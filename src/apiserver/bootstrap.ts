import { isUmiakError } from '#base/errors.ts';
import { toTime } from '#base/index.ts';
import type { Client } from '#client/client.ts';
import { Endpoints } from '#kinds/core.ts';
import { EndpointSlice } from '#kinds/endpoint-slice.ts';
import type { Draft, Kind, KubeObject } from '#kinds/kind.ts';
import { Namespace } from '#kinds/namespace.ts';
import { ServiceCIDR } from '#kinds/networking.ts';
import { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from '#kinds/rbac.ts';
import { PriorityClass } from '#kinds/scheduling.ts';
import { Service } from '#kinds/service.ts';
import { applyBootstrapFlows } from './flow-control/apply-flows.ts';
import { applyBootstrapRoles, type PolicyWriter } from './rbac-bootstrap.ts';

export interface BootstrapOptions {
  client: Client;
  /** The `kubernetes` Service's address: the first of the service range. */
  serviceAddress: string;
  /** The range Services get their addresses from; shown as the ServiceCIDR `kubernetes`. */
  serviceCidr?: string;
  /** Where pods reach the API server: never a loopback address. Without one the Service has no endpoints. */
  endpoints: readonly { address: string; port: number }[];
}

const NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

/** Makes what every cluster has: its namespaces, priority classes, roles, flow schemas, and the `kubernetes` Service. May be called at each start. */
export async function bootstrapCluster(options: BootstrapOptions): Promise<void> {
  const { client } = options;
  await Promise.all(NAMESPACES.map(name => ensure(client, Namespace, { metadata: { name } } as Draft<Namespace>)));
  await Promise.all([
    ensure(client, PriorityClass, criticalClass('system-cluster-critical', 2_000_000_000, 'cluster')),
    ensure(client, PriorityClass, criticalClass('system-node-critical', 2_000_001_000, 'node')),
    applyBootstrapRoles(policyWriter(client)),
    applyBootstrapFlows(client),
    ensureKubernetesService(options),
    ensureServiceCidr(options),
  ]);
}

/** Renews the endpoints when the addresses change. */
async function ensureKubernetesService(options: BootstrapOptions): Promise<void> {
  const { client, serviceAddress, endpoints } = options;
  const labels = { component: 'apiserver', provider: 'kubernetes' };
  const metadata = { name: 'kubernetes', namespace: 'default', labels };
  const ports = [{ name: 'https', port: 443, protocol: 'TCP', targetPort: endpoints[0]?.port ?? 6443 }];
  const spec = {
    type: 'ClusterIP',
    clusterIP: serviceAddress,
    clusterIPs: [serviceAddress],
    ipFamilies: ['IPv4'],
    ipFamilyPolicy: 'SingleStack',
    ports,
    sessionAffinity: 'None',
  };
  await ensure(
    client,
    Service,
    { metadata, spec } as unknown as Draft<Service>,
    present => present.spec.clusterIP === serviceAddress && present.spec.ports?.[0]?.targetPort === ports[0]!.targetPort,
  );

  const slice = {
    metadata: { name: 'kubernetes', namespace: 'default', labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: 'IPv4',
    endpoints: endpoints.length > 0 ? [{ addresses: endpoints.map(({ address }) => address), conditions: { ready: true } }] : [],
    ports: endpoints.length > 0 ? [{ name: 'https', port: endpoints[0]!.port, protocol: 'TCP' }] : [],
  } as unknown as Draft<EndpointSlice>;
  const wanted = JSON.stringify([slice.endpoints?.map(({ addresses }) => addresses), slice.ports?.map(({ port }) => port)]);
  await ensureKubernetesEndpoints(options);
  await ensure(
    client,
    EndpointSlice,
    slice,
    ({ endpoints: list, ports: open }) =>
      JSON.stringify([list?.map(({ addresses }) => addresses) ?? [], open?.map(({ port }) => port) ?? []]) === wanted,
  );
}

/** The same for those who read Endpoints; nobody mirrors them, for the slice is there. */
async function ensureKubernetesEndpoints({ client, endpoints }: BootstrapOptions): Promise<void> {
  const subsets =
    endpoints.length > 0
      ? [{ addresses: endpoints.map(({ address: ip }) => ({ ip })), ports: [{ name: 'https', port: endpoints[0]!.port, protocol: 'TCP' }] }]
      : [];
  const labels = { 'endpointslice.kubernetes.io/skip-mirror': 'true' };
  await ensure(
    client,
    Endpoints,
    { metadata: { name: 'kubernetes', namespace: 'default', labels }, subsets } as unknown as Draft<Endpoints>,
    present => JSON.stringify(present.subsets ?? []) === JSON.stringify(subsets),
  );
}

async function ensureServiceCidr({ client, serviceCidr }: BootstrapOptions): Promise<void> {
  if (serviceCidr === undefined) return;
  const key = { name: 'kubernetes' };
  await ensure(client, ServiceCIDR, { metadata: key, spec: { cidrs: [serviceCidr] } } as Draft<ServiceCIDR>);
  const present = await client.get(ServiceCIDR, key);
  if (!present || present.status?.conditions?.some(({ type }) => type === 'Ready')) return;
  const ready = {
    type: 'Ready',
    status: 'True',
    reason: 'NotDeleted',
    message: 'Kubernetes default Service CIDR is ready',
    lastTransitionTime: toTime(Date.now()),
  };
  await client.patch(ServiceCIDR, key, { status: { conditions: [ready] } }, { type: 'merge', subresource: 'status' });
}

function criticalClass(name: string, value: number, what: string): Draft<PriorityClass> {
  const description = `Used for system critical pods that must run in the cluster${what === 'cluster' ? '.' : ', but can be moved to another node if necessary.'}`;
  return { metadata: { name }, value, description } as Draft<PriorityClass>;
}

/** Creates the object, or replaces one that `isRight` says no to. */
async function ensure<T extends KubeObject>(
  client: Client,
  kind: Kind<T>,
  draft: Draft<T>,
  isRight: (present: T) => boolean = () => true,
): Promise<void> {
  const { name, namespace } = draft.metadata;
  const present = await client.get(kind, { name: name ?? '', namespace });
  if (present && isRight(present)) return;
  try {
    if (present)
      await client.update(kind, {
        ...present,
        ...draft,
        metadata: { ...present.metadata, labels: { ...present.metadata.labels, ...draft.metadata.labels } },
      } as T);
    else await client.create(kind, draft);
  } catch (error) {
    if (!isUmiakError(error, 'AlreadyExists')) throw error;
  }
}

function policyWriter(client: Client): PolicyWriter {
  const kinds = { Role, RoleBinding, ClusterRole, ClusterRoleBinding } as unknown as Record<string, Kind>;
  return {
    get: async (kind, key) => (await client.get(kinds[kind]!, key)) as never,
    create: object => client.create(kinds[object.kind]!, object as never),
    update: object => client.update(kinds[object.kind]!, object as never),
    delete: (kind, key) => client.delete(kinds[kind]!, key),
  };
}
