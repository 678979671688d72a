import { alsoWatch, type Controller, defineController, done } from '#client/index.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import { Namespace } from '#kinds/namespace.ts';
import { ignoreAbsent, ignorePresent } from './absence.ts';

const NAME = 'kube-root-ca.crt';

/** Publishes the cluster's authority as ConfigMap `kube-root-ca.crt` in every living namespace, where pods' token volumes take it from. */
export function rootCaController(caPem: string): Controller<Namespace> {
  return defineController<Namespace>({
    name: 'root-ca-certificate-publisher',
    watches: Namespace,
    alsoWatches: [
      alsoWatch(ConfigMap, ({ metadata }) => (metadata.name === NAME ? [{ name: metadata.namespace ?? '' }] : []), ownDataOnly),
    ],
    async reconcile({ name: namespace }, { client }) {
      const living = await client.get(Namespace, { name: namespace });
      if (!living || living.metadata.deletionTimestamp) return done;
      const present = client.cached(ConfigMap).get({ namespace, name: NAME });
      const data = { 'ca.crt': caPem };
      if (!present) {
        const annotations = {
          'kubernetes.io/description': 'The authority that signed the API server certificate; see the pod volume kube-api-access.',
        };
        await ignorePresent(
          client.create(ConfigMap, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace, name: NAME, annotations }, data }),
        );
      } else if (present.data?.['ca.crt'] !== caPem || Object.keys(present.data).length !== 1)
        await ignoreAbsent(client.patch(ConfigMap, present.metadata, [{ op: 'add', path: '/data', value: data }], { type: 'json' }));
      return done;
    },
  });
}

/** Of all ConfigMaps in the cluster, the data of ours. */
function ownDataOnly(object: ConfigMap): ConfigMap {
  const { apiVersion, kind, metadata, data } = object;
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata;
  const kept = { apiVersion, kind, metadata: { name, namespace, uid, resourceVersion, creationTimestamp } };
  return name === NAME && data ? { ...kept, data } : kept;
}
