import { compareQuantities } from '#base/quantity.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import type { Pod, Quantity, RuntimeClass, Toleration } from '#kinds/types.gen.ts';
import type { Stored } from '../resources.ts';
import { forbidden } from '../status.ts';
import type { AdmissionPlugin } from '../write.ts';

/** Gives pods the overhead and the place that their runtime class asks for; a class has to be there. */
export function runtimeClassAdmission(pods: Stored, classes: Stored): AdmissionPlugin {
  return {
    name: 'RuntimeClass',
    mutate(write) {
      if (write.operation !== 'CREATE' || write.served.cache !== pods.cache || write.subresource) return;
      const { spec } = write.object as Pod;
      const { runtimeClassName: name, overhead } = spec;
      const refuse = (why: string) => forbidden(pods.resource, write.name, why);
      const found = name ? classes.cache.get(name)?.object<RuntimeClass>() : undefined;
      if (name && !found) throw refuse(`pod rejected: RuntimeClass "${name}" not found`);
      const own = found?.overhead?.podFixed;
      if (!own) {
        if (overhead && Object.keys(overhead).length > 0)
          throw refuse('pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead');
      } else if (!overhead) spec.overhead = own;
      else if (!isSame(overhead, own)) throw refuse("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
      for (const [key, value] of Object.entries(found?.scheduling?.nodeSelector ?? {})) {
        const given = spec.nodeSelector?.[key];
        if (given !== undefined && given !== value)
          throw refuse(`conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${given}`);
        spec.nodeSelector = { ...spec.nodeSelector, [key]: value };
      }
      const tolerations: Toleration[] = found?.scheduling?.tolerations ?? [];
      const missing = tolerations.filter(one => !spec.tolerations?.some(given => jsonEqual(given, one)));
      if (missing.length > 0) spec.tolerations = [...(spec.tolerations ?? []), ...missing];
    },
  };
}

function isSame(a: Record<string, Quantity>, b: Record<string, Quantity>): boolean {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every(key => a[key] !== undefined && b[key] !== undefined && compareQuantities(a[key], b[key]) === 0);
}
