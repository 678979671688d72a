import { alsoWatch, type Controller, defineController, done } from '#client/index.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import { Namespace } from '#kinds/namespace.ts';
import { ignorePresent } from './absence.ts';

const NAME = 'kube-root-ca.crt';

/** Publishes the cluster's authority as ConfigMap `kube-root-ca.crt` in every living namespace, where pods' token volumes take it from. */
export function rootCaController(caPem: string): Controller<Namespace> {
  return defineController<Namespace>({
    name: 'root-ca-certificate-publisher',
    watches: Namespace,
    alsoWatches: [alsoWatch(ConfigMap, ({ metadata }) => (metadata.name === NAME ? [{ name: metadata.namespace ?? '' }] : []))],
    async reconcile({ name: namespace }, { client }) {
      const living = await client.get(Namespace, { name: namespace });
      if (!living || living.metadata.deletionTimestamp) return done;
      const present = await client.get(ConfigMap, { namespace, name: NAME });
      const data = { 'ca.crt': caPem };
      if (!present) {
        const annotations = {
          'kubernetes.io/description': 'The authority that signed the API server certificate; see the pod volume kube-api-access.',
        };
        await ignorePresent(
          client.create(ConfigMap, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace, name: NAME, annotations }, data }),
        );
      } else if (present.data?.['ca.crt'] !== caPem || Object.keys(present.data).length !== 1)
        await client.update(ConfigMap, { ...present, data });
      return done;
    },
  });
}
