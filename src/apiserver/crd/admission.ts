import { type FieldCause, UmiakError } from '#base/errors.ts';
import { CustomResourceDefinition } from '#kinds/apiextensions.ts';
import type { Served } from '../resources.ts';
import { isSliceOver, nextSlice, runInSlices } from '../slices.ts';
import { invalid } from '../status.ts';
import type { AdmissionPlugin, Write } from '../write.ts';
import { loadExpressions } from './expressions.ts';
import { finishRules } from './schema-rules.ts';

/**
 * Has definitions' schemas checked, which takes more than a kind knows; lets nothing be created of a kind whose definition is being
 * deleted; has what schemas are checked by loaded before the first object is; and waits for rules that take long.
 */
export function customResourceAdmission(isTerminating: (served: Served) => boolean): AdmissionPlugin {
  return {
    name: 'CustomResources',
    mutate({ operation, served }) {
      if (!served.kind.check) return undefined;
      if (operation === 'CREATE' && isTerminating(served))
        throw new UmiakError('MethodNotAllowed', 'create not allowed while custom resource definition is terminating');
      return loadExpressions() ?? (isSliceOver() ? nextSlice() : undefined); // large objects took a slice already
    },
    validate(write) {
      const { served, operation, subresource, object } = write;
      if (operation === 'DELETE') return undefined;
      if (served.kind === CustomResourceDefinition) return subresource ? undefined : judgeDefinition(write);
      const rest = served.kind.check && finishRules(object);
      return rest && refuse(write, rest);
    },
  };
}

async function judgeDefinition(write: Write): Promise<void> {
  const { object, old } = write;
  await loadExpressions();
  await nextSlice();
  const { definitionCauses } = await import('./definition-rules.ts');
  await nextSlice();
  await refuse(write, runInSlices(definitionCauses(object as CustomResourceDefinition, old as CustomResourceDefinition | undefined)));
}

async function refuse({ served, name }: Write, finding: Promise<FieldCause[]>): Promise<void> {
  const causes = await finding;
  if (causes.length > 0) throw invalid(served.resource, name, causes);
}
