import { alsoWatch, defineController, done, type Reconciling } from '#client/index.ts';
import { Endpoints } from '#kinds/core.ts';
import { EndpointSlice } from '#kinds/endpoint-slice.ts';
import type { Key } from '#kinds/kind.ts';
import { Service } from '#kinds/service.ts';
import { ignoreAbsent, ignorePresent } from './absence.ts';
import { MANAGED_BY, MANAGER } from './endpoint-slice.ts';
import { planEndpoints, saysTheSame } from './endpoints-plan.ts';

/** Keeps the Endpoints object of a Service with a selector: what its EndpointSlices say, for those who still read the old form. */
export const endpointsController = defineController<Service>({
  name: 'endpoint-controller',
  watches: Service,
  owns: [EndpointSlice],
  alsoWatches: [alsoWatch(Endpoints, serviceOf)],
  async reconcile(key, { client }) {
    const service = await client.get(Service, key);
    const present = client.cached(Endpoints).get(key);
    if (!service) {
      // Those that people made for a Service without a selector go with it, too.
      if (present) await ignoreAbsent(client.delete(Endpoints, key, { preconditions: { uid: present.metadata.uid } }));
      return done;
    }
    if (service.metadata.deletionTimestamp || !service.spec.selector || service.spec.type === 'ExternalName') return done;
    const slices = client.listOwned(EndpointSlice, service).filter(slice => slice.metadata.labels?.[MANAGED_BY] === MANAGER);
    const wanted = planEndpoints(service, slices);
    if (present && saysTheSame(present, wanted)) return done;
    if (!present) await ignorePresent(client.create(Endpoints, wanted));
    else await ignoreAbsent(client.update(Endpoints, { ...wanted, metadata: { ...present.metadata, ...wanted.metadata } } as Endpoints));
    return done;
  },
});

/** Endpoints may come before their Service, and stay without one that never was. */
function serviceOf({ metadata: { namespace, name } }: Endpoints, { client }: Reconciling): Key[] {
  return client.cached(Service).get({ namespace, name }) ? [{ namespace, name }] : [];
}
