import { UmiakError } from '#base/errors.ts';
import { CustomResourceDefinition } from '#kinds/apiextensions.ts';
import type { Served } from '../resources.ts';
import { invalid } from '../status.ts';
import type { AdmissionPlugin, Write } from '../write.ts';
import { loadExpressions } from './expressions.ts';

/**
 * Has definitions' schemas checked, which takes more than a kind knows; lets nothing be created of a kind whose definition is being
 * deleted; and has what schemas are checked by loaded before the first object is.
 */
export function customResourceAdmission(isTerminating: (served: Served) => boolean): AdmissionPlugin {
  return {
    name: 'CustomResources',
    mutate({ operation, served }) {
      if (!served.kind.check) return undefined;
      if (operation === 'CREATE' && isTerminating(served))
        throw new UmiakError('MethodNotAllowed', 'create not allowed while custom resource definition is terminating');
      return loadExpressions();
    },
    validate(write) {
      if (write.served.kind !== CustomResourceDefinition || write.operation === 'DELETE' || write.subresource) return undefined;
      return judgeDefinition(write);
    },
  };
}

async function judgeDefinition({ served, object, old, name }: Write): Promise<void> {
  const { definitionCauses } = await import('./definition-rules.ts');
  await loadExpressions();
  const causes = definitionCauses(object as CustomResourceDefinition, old as CustomResourceDefinition | undefined);
  if (causes.length > 0) throw invalid(served.resource, name, causes);
}
