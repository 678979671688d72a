import { alsoWatch, type Controller, defineController, done, type Reconciling } from '#client/index.ts';
import type { Key } from '#kinds/kind.ts';
import { Node } from '#kinds/node.ts';
import { Service } from '#kinds/service.ts';
import { ignoreAbsent } from './absence.ts';
import { isOurs, planIngress } from './load-balancer-plan.ts';
import { isSameStatus } from './status.ts';

/** Others set it on Services whose balancer must be taken down first; nothing of ours has to be. */
const CLEANUP = 'service.kubernetes.io/load-balancer-cleanup';

export interface LoadBalancerOptions {
  /** Addresses that Services of type LoadBalancer get; empty: the nodes' own. */
  pool?: readonly string[];
}

/** Gives Services of type LoadBalancer an address from the pool. That packets come there is the nodes' work: see `src/network`. */
export function loadBalancerController({ pool = [] }: LoadBalancerOptions = {}): Controller<Service> {
  return defineController<Service>({
    name: 'service-controller',
    watches: Service,
    alsoWatches: [
      alsoWatch(Service, waiting),
      alsoWatch(Node, (_node, context) => (pool.length > 0 ? [] : balanced(context)), addressesOnly),
    ],
    // One after the other, so that no two take the same port.
    concurrency: 1,
    async reconcile(key, context) {
      const { client, events } = context;
      const service = await client.get(Service, key);
      if (!service || (service.spec.type === 'LoadBalancer' && service.spec.loadBalancerClass)) return done;
      if (!isOurs(service)) {
        await letGo(service, context);
        return done;
      }
      const ingress = planIngress(service, client.cached(Service).list(), pool.length > 0 ? pool : nodeAddresses(context));
      const before = service.status?.loadBalancer?.ingress ?? [];
      if (!ingress) {
        const ports = (service.spec.ports ?? []).map(({ port, protocol }) => `${port}/${protocol}`).join(', ');
        events.warning(service, 'SyncLoadBalancerFailed', `Error syncing load balancer: no address of the pool is free for ${ports}`);
      }
      if (isSameStatus({ before }, { before: ingress ?? [] })) return done;
      if (ingress) events.normal(service, 'EnsuringLoadBalancer', 'Ensuring load balancer');
      await write(service, ingress, context);
      if (ingress) events.normal(service, 'EnsuredLoadBalancer', 'Ensured load balancer');
      return done;
    },
  });
}

async function write(service: Service, ingress: NonNullable<ReturnType<typeof planIngress>> | undefined, { client }: Reconciling) {
  const status = { ...service.status, loadBalancer: ingress ? { ingress } : {} };
  await ignoreAbsent(client.updateStatus(Service, { ...service, status }));
}

/** A Service that is of another type now, or goes. */
async function letGo(service: Service, context: Reconciling): Promise<void> {
  const { client, events } = context;
  const { metadata, status } = service;
  if (status?.loadBalancer?.ingress?.length && !metadata.deletionTimestamp) {
    events.normal(service, 'DeletingLoadBalancer', 'Deleting load balancer');
    await write(service, undefined, context);
    events.normal(service, 'DeletedLoadBalancer', 'Deleted load balancer');
  }
  if (!metadata.finalizers?.includes(CLEANUP)) return;
  const finalizers = metadata.finalizers.filter(name => name !== CLEANUP);
  const { uid } = metadata;
  await ignoreAbsent(
    client.patch(Service, metadata, { metadata: { uid, finalizers: finalizers.length > 0 ? finalizers : null } }, { type: 'merge' }),
  );
}

/** When a balanced Service changes or goes, those without an address may get one. */
function waiting(service: Service, { client }: Reconciling): Key[] {
  if (service.spec.type !== 'LoadBalancer') return [];
  return client
    .cached(Service)
    .list()
    .filter(each => isOurs(each) && !each.status?.loadBalancer?.ingress?.length)
    .map(({ metadata }) => metadata);
}

function balanced({ client }: Reconciling): Key[] {
  return client
    .cached(Service)
    .list()
    .filter(isOurs)
    .map(({ metadata }) => metadata);
}

function nodeAddresses({ client }: Reconciling): string[] {
  const nodes = client.cached(Node).list();
  const usable = nodes.filter(({ metadata }) => metadata.labels?.['node.kubernetes.io/exclude-from-external-load-balancers'] === undefined);
  return usable
    .flatMap(({ status }) => (status?.addresses ?? []).filter(({ type }) => type === 'InternalIP').map(({ address }) => address))
    .sort();
}

/** What this controller looks at of a node. */
function addressesOnly(node: Node): Node {
  const { addresses } = node.status ?? {};
  return { ...node, status: addresses ? { addresses } : {} };
}
