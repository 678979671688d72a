import { isIP } from 'node:net';
import { alsoWatch, defineController, done } from '#client/index.ts';
import { Endpoints } from '#kinds/core.ts';
import { EndpointSlice } from '#kinds/endpoint-slice.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import type { Draft } from '#kinds/kind.ts';
import { Service } from '#kinds/service.ts';
import { ignoreAbsent } from './absence.ts';
import { MANAGED_BY, SERVICE_NAME } from './endpoint-slice.ts';

const MANAGER = 'endpointslicemirroring-controller.k8s.io';
const SKIP = 'endpointslice.kubernetes.io/skip-mirror';
const LEADER = 'control-plane.alpha.kubernetes.io/leader';
/** Not of the endpoints, but of how they were written. */
const UNCOPIED = ['endpoints.kubernetes.io/last-change-trigger-time', 'kubectl.kubernetes.io/last-applied-configuration'];
/** Endpoints that are mirrored of each subset, as upstream bounds it. */
const MOST_ENDPOINTS = 1000;

/** Shows Endpoints that people made for a Service without a selector as EndpointSlices, which is what everybody reads. */
export const endpointSliceMirroringController = defineController<Endpoints>({
  name: 'endpointslicemirroring-controller',
  watches: Endpoints,
  owns: [EndpointSlice],
  alsoWatches: [alsoWatch(Service, ({ metadata: { namespace, name } }) => [{ namespace, name }])],
  async reconcile(key, { client }) {
    const endpoints = await client.get(Endpoints, key);
    if (!endpoints || endpoints.metadata.deletionTimestamp) return done; // the garbage collector takes the slices
    const present = client.listOwned(EndpointSlice, endpoints).filter(slice => slice.metadata.labels?.[MANAGED_BY] === MANAGER);
    const service = client.cached(Service).get(key);
    const { create, update, remove } = planMirror(endpoints, service, present);
    for (const slice of update) await ignoreAbsent(client.update(EndpointSlice, slice));
    for (const slice of create) await client.create(EndpointSlice, slice);
    for (const slice of remove) await ignoreAbsent(client.delete(EndpointSlice, slice.metadata));
    return done;
  },
});

/** The least that must change of the slices that mirror `endpoints`. Pure. */
export function planMirror(
  endpoints: Endpoints,
  service: Service | undefined,
  present: readonly EndpointSlice[],
): { create: Draft<EndpointSlice>[]; update: EndpointSlice[]; remove: EndpointSlice[] } {
  const { labels = {}, annotations = {} } = endpoints.metadata;
  const isMirrored = service && !service.spec.selector && labels[SKIP] !== 'true' && annotations[LEADER] === undefined;
  const wanted = isMirrored ? toSlices(endpoints) : [];
  const isSame = (slice: EndpointSlice, draft: Draft<EndpointSlice>) =>
    slice.addressType === draft.addressType &&
    jsonEqual(slice.endpoints ?? [], draft.endpoints ?? []) &&
    jsonEqual(slice.ports ?? [], draft.ports ?? []) &&
    jsonEqual(slice.metadata.labels ?? {}, draft.metadata.labels ?? {}) &&
    jsonEqual(slice.metadata.annotations ?? {}, draft.metadata.annotations ?? {});
  const missing = wanted.filter(draft => !present.some(slice => isSame(slice, draft)));
  const stale = present.filter(slice => !wanted.some(draft => isSame(slice, draft)));
  const update: EndpointSlice[] = [];
  const create: Draft<EndpointSlice>[] = [];
  for (const draft of missing) {
    const at = stale.findIndex(({ addressType }) => addressType === draft.addressType);
    const [reused] = at < 0 ? [] : stale.splice(at, 1);
    if (!reused) create.push(draft);
    else {
      const { labels: ownLabels, annotations: ownAnnotations } = draft.metadata;
      const metadata = { ...reused.metadata, labels: ownLabels, annotations: ownAnnotations };
      update.push({ ...reused, metadata, endpoints: draft.endpoints, ports: draft.ports } as EndpointSlice);
    }
  }
  return { create, update, remove: stale };
}

function toSlices({ metadata, subsets = [] }: Endpoints): Draft<EndpointSlice>[] {
  const { name, namespace, uid } = metadata;
  const annotations = Object.fromEntries(Object.entries(metadata.annotations ?? {}).filter(([key]) => !UNCOPIED.includes(key)));
  return subsets.flatMap(({ addresses = [], notReadyAddresses = [], ports = [] }) => {
    const all = [...addresses.map(each => ({ ...each, ready: true })), ...notReadyAddresses.map(each => ({ ...each, ready: false }))];
    return ([4, 6] as const).flatMap(family => {
      const ofFamily = all.filter(({ ip }) => isIP(ip) === family).slice(0, MOST_ENDPOINTS);
      if (ofFamily.length === 0) return [];
      return [
        {
          apiVersion: 'discovery.k8s.io/v1' as const,
          kind: 'EndpointSlice' as const,
          metadata: {
            generateName: `${name}-`,
            namespace,
            labels: { ...metadata.labels, [SERVICE_NAME]: name, [MANAGED_BY]: MANAGER },
            annotations,
            ownerReferences: [{ apiVersion: 'v1', kind: 'Endpoints', name, uid, controller: true, blockOwnerDeletion: true }],
          },
          addressType: `IPv${family}`,
          endpoints: ofFamily.map(({ ip, hostname, nodeName, targetRef, ready }) => ({
            addresses: [ip],
            conditions: { ready },
            ...(hostname ? { hostname } : {}),
            ...(nodeName ? { nodeName } : {}),
            ...(targetRef ? { targetRef } : {}),
          })),
          ports: ports.map(({ name: portName = '', protocol = 'TCP', port, appProtocol }) => ({
            name: portName,
            protocol,
            port,
            ...(appProtocol ? { appProtocol } : {}),
          })),
        },
      ];
    });
  });
}
