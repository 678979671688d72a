import type { ExpressionWarning, NamedRuleWithOperations } from '#kinds/types.gen.ts';
import type { Resources, Served } from '../resources.ts';
import { compilePolicy } from './environment.ts';
import { typeOfKind } from './kind-types.ts';
import { servedOf } from './params.ts';
import type { PolicySpec } from './policy.ts';

const MOST_TYPES = 10;

/** What is doubtful about a policy's expressions for the kinds that its rules name outright. */
export function checkTypes(spec: PolicySpec, resources: Resources): ExpressionWarning[] {
  const params = paramsType(spec, resources);
  const warnings = new Map<string, string[]>();
  for (const { kind, apiVersion } of namedKinds(spec.matchConstraints?.resourceRules ?? [], resources)) {
    for (const { field, result } of compilePolicy(spec, { object: typeOfKind(kind), ...(params && { params }) })) {
      if (result.ok) continue;
      const told = warnings.get(field) ?? [];
      warnings.set(field, [...told, `${apiVersion}, Kind=${kind.resource.kind}: ${result.error}`]);
    }
  }
  return [...warnings].map(([fieldRef, told]) => ({ fieldRef, warning: told.join('\n') }));
}

function paramsType({ paramKind }: PolicySpec, resources: Resources) {
  if (!paramKind) return undefined;
  try {
    return typeOfKind(servedOf(resources, paramKind).kind);
  } catch {
    return undefined; // not served yet: what it will hold is unknown
  }
}

/** The served kinds that rules name without wildcards. */
function namedKinds(rules: readonly NamedRuleWithOperations[], resources: Resources): Served[] {
  const found = new Set<Served>();
  for (const { apiGroups = [], apiVersions = [], resources: plurals = [] } of rules)
    for (const group of apiGroups)
      for (const version of apiVersions)
        for (const plural of plurals) {
          const served = resources.find(group, version, plural);
          if (served && found.size < MOST_TYPES) found.add(served);
        }
  return [...found];
}
