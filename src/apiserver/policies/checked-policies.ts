import type { FieldCause } from '#base/errors.ts';
import { invalid as invalidField } from '#kinds/field-errors.ts';
import type { Authorizer } from '../identity.ts';
import type { Resources } from '../resources.ts';
import { invalid } from '../status.ts';
import type { AdmissionPlugin } from '../write.ts';
import { ParamAccess } from './param-access.ts';
import { expressionsOf, type Policy, type PolicySpec } from './policy.ts';

/** Refuses policies with expressions that do not compile (what was stored before stays valid), and parameters that their author may not read. */
export function checkedPolicies(resources: Resources, authorize: Authorizer): AdmissionPlugin {
  const access = new ParamAccess(resources, authorize);
  const cacheOf = (plural: string) => resources.stored('admissionregistration.k8s.io', 'v1', plural).cache;
  const policies = ['validatingadmissionpolicies', 'mutatingadmissionpolicies'].map(cacheOf);
  const concerned = [...policies, ...['validatingadmissionpolicybindings', 'mutatingadmissionpolicybindings'].map(cacheOf)];
  return {
    name: 'AdmissionPolicyExpressions',
    validate(write) {
      const { operation, served, subresource, name, object, old } = write;
      if (operation === 'DELETE' || subresource || !concerned.includes(served.cache)) return;
      const asked = access.check(write);
      if (!policies.includes(served.cache)) return asked;
      return (async () => {
        await asked;
        const causes = await causesOf((object as Policy).spec, (old as Policy | undefined)?.spec);
        if (causes.length > 0) throw invalid(served.resource, name, causes);
      })();
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
