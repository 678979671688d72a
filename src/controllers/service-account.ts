import { alsoWatch, defineController, done } from '#client/index.ts';
import { Namespace } from '#kinds/namespace.ts';
import { ServiceAccount } from '#kinds/service-account.ts';
import { ignorePresent } from './absence.ts';
import { ownershipOnly } from './ownership-only.ts';

/** Sees to it that every living namespace has the ServiceAccount `default`. */
export const serviceAccountController = defineController<Namespace>({
  name: 'serviceaccount-controller',
  watches: Namespace,
  alsoWatches: [
    alsoWatch(ServiceAccount, ({ metadata }) => (metadata.name === 'default' ? [{ name: metadata.namespace ?? '' }] : []), ownershipOnly),
  ],
  async reconcile({ name: namespace }, { client }) {
    const living = await client.get(Namespace, { name: namespace });
    if (!living || living.metadata.deletionTimestamp || client.cached(ServiceAccount).get({ namespace, name: 'default' })) return done;
    await ignorePresent(
      client.create(ServiceAccount, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace, name: 'default' } }),
    );
    return done;
  },
});
