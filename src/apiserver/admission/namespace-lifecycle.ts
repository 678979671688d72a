import { UmiakError } from '#base/errors.ts';
import type { Stored } from '../resources.ts';
import { forbidden, notFound } from '../status.ts';
import type { AdmissionPlugin, Write } from '../write.ts';

/** Namespaces that the cluster itself stands on. */
const IMMORTAL = new Set(['default', 'kube-system', 'kube-public']);

/**
 * Nothing is created in a namespace that is not there or is going: the namespace's revision becomes a condition of the commit, so
 * that a deletion that begins meanwhile is seen.
 */
export function namespaceLifecycle(namespaces: Stored): AdmissionPlugin {
  const { cache } = namespaces;
  return {
    name: 'NamespaceLifecycle',
    mutate(write) {
      if (write.operation !== 'CREATE' || !write.served.resource.namespaced) return;
      const namespace = cache.get(write.namespace);
      if (!namespace) throw notFound(namespaces.resource, write.namespace);
      if (namespace.projection.fields['status.phase'] === 'Terminating') throw terminating(write);
      write.conditions.push({ key: cache.prefix + namespace.key, revision: namespace.revision });
    },
    validate(write) {
      if (write.operation !== 'DELETE' || write.served.cache !== cache || !IMMORTAL.has(write.name)) return;
      throw forbidden(namespaces.resource, write.name, 'this namespace may not be deleted');
    },
  };
}

function terminating({ served, namespace, name }: Write): UmiakError {
  const refusal = forbidden(served.resource, name, `unable to create new content in namespace ${namespace} because it is being terminated`);
  const cause = { reason: 'NamespaceTerminating', message: `namespace ${namespace} is being terminated`, field: 'metadata.namespace' };
  return new UmiakError('Forbidden', refusal.message, { details: { ...refusal.details, causes: [cause] } });
}
