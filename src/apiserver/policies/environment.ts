import {
  AUTHORIZER,
  BOOL,
  type CelType,
  type CompileResult,
  compile,
  DYN,
  listOf,
  mapOf,
  NULL,
  type ObjectType,
  objectOf,
  type Program,
  RESOURCE_CHECK,
  STRING,
} from '#cel/index.ts';
import type { PlacedExpression, PolicySpec } from './policy.ts';
import { expressionsOf } from './policy.ts';

const GVK = objectOf('kubernetes.GroupVersionKind', { group: STRING, version: STRING, kind: STRING });
const GVR = objectOf('kubernetes.GroupVersionResource', { group: STRING, version: STRING, resource: STRING });
const USER = objectOf('kubernetes.UserInfo', {
  username: STRING,
  uid: STRING,
  groups: listOf(STRING),
  extra: mapOf(STRING, listOf(STRING)),
});
const REQUEST = objectOf('kubernetes.AdmissionRequest', {
  kind: GVK,
  resource: GVR,
  subResource: STRING,
  requestKind: GVK,
  requestResource: GVR,
  requestSubResource: STRING,
  name: STRING,
  namespace: STRING,
  operation: STRING,
  userInfo: USER,
  dryRun: BOOL,
  options: DYN,
});
const PATCH = objectOf('JSONPatch', { op: STRING, path: STRING, from: STRING, value: DYN });
const RESULTS: Readonly<Record<PlacedExpression['sort'], readonly CelType[] | undefined>> = {
  condition: [BOOL],
  variable: undefined,
  validation: [BOOL],
  message: [STRING],
  annotation: [STRING, NULL],
  applyConfiguration: [objectOf('Object', {})],
  jsonPatch: [listOf(PATCH)],
};
const MOST_STRUCTS = 10_000;
const structs = new Map<string, ObjectType>([['JSONPatch', PATCH]]);

/** The types of what expressions see: `object`, `oldObject` and `params` may be given where their schema is known. */
export interface KnownTypes {
  object?: CelType;
  params?: CelType;
}

/** A compiled expression with its place. */
export interface CompiledExpression extends PlacedExpression {
  result: CompileResult;
}

/** Compiles a policy's expressions one by one; each variable is known to those that follow it. */
export function compilePolicy(spec: PolicySpec, { object = DYN, params = DYN }: KnownTypes = {}): CompiledExpression[] {
  const base: Record<string, CelType> = {
    object,
    oldObject: object,
    request: REQUEST,
    namespaceObject: DYN,
    authorizer: AUTHORIZER,
    'authorizer.requestResource': RESOURCE_CHECK,
    ...(spec.paramKind && { params }),
  };
  const known: Record<string, CelType> = {};
  let composed: CelType = objectOf('kubernetes.variables', known);
  return expressionsOf(spec).map(place => {
    const variables = place.sort === 'condition' ? base : { ...base, variables: composed };
    const results = RESULTS[place.sort];
    const isMutation = place.sort === 'applyConfiguration' || place.sort === 'jsonPatch';
    const result = compile(place.expression, { variables, ...(results && { results }), ...(isMutation && { structs: structOf }) });
    if (place.name !== undefined) {
      known[place.name] = result.ok ? result.program.type : DYN;
      composed = objectOf('kubernetes.variables', known);
    }
    return { ...place, result };
  });
}

/** The program of an expression. @throws Error with what is wrong with it */
export function programOf({ expression, result }: CompiledExpression): Program {
  if (result.ok) return result.program;
  throw new Error(`expression '${expression}' resulted in error: compilation failed: ${result.error}`);
}

/** `Object`, `Object.spec.template`, `JSONPatch`: the names that a mutation may build. */
function structOf(name: string): ObjectType | undefined {
  const known = structs.get(name);
  if (known || (name !== 'Object' && !name.startsWith('Object.'))) return known;
  const type = objectOf(name, {});
  if (structs.size < MOST_STRUCTS) structs.set(name, type);
  return type;
}
