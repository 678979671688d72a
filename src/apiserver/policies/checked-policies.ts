import type { FieldCause } from '#base/errors.ts';
import { invalid as invalidField } from '#kinds/field-errors.ts';
import type { Resources } from '../resources.ts';
import { invalid } from '../status.ts';
import type { AdmissionPlugin } from '../write.ts';
import { expressionsOf, type Policy, type PolicySpec } from './policy.ts';

/** Refuses policies with expressions that do not compile; what was stored before stays valid. */
export function checkedPolicies(resources: Resources): AdmissionPlugin {
  const policies = ['validatingadmissionpolicies', 'mutatingadmissionpolicies'].map(
    plural => resources.stored('admissionregistration.k8s.io', 'v1', plural).cache,
  );
  return {
    name: 'AdmissionPolicyExpressions',
    validate({ operation, served, subresource, name, object, old }) {
      if (operation === 'DELETE' || subresource || !policies.includes(served.cache)) return;
      return causesOf((object as Policy).spec, (old as Policy | undefined)?.spec).then(causes => {
        if (causes.length > 0) throw invalid(served.resource, name, causes);
      });
    },
  };
}

async function causesOf(spec: PolicySpec, old: PolicySpec | undefined): Promise<FieldCause[]> {
  const { compilePolicy } = await import('./environment.ts');
  const known = new Set(old && expressionsOf(old).map(({ sort, expression }) => `${sort} ${expression}`));
  return compilePolicy(spec).flatMap(({ field, expression, sort, result }) =>
    result.ok || known.has(`${sort} ${expression}`) ? [] : [invalidField(field, expression, why(result.error))],
  );
}

function why(error: string): string {
  return error.startsWith('must evaluate to') ? error : `compilation failed: ${error}`;
}
