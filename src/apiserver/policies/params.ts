import { messageOf } from '#base/errors.ts';
import { matchesLabels, requirementsOf } from '#base/label-selector.ts';
import type { KubeObject } from '#kinds/kind.ts';
import type { ParamKind, ParamRef } from '#kinds/types.gen.ts';
import { cacheKeyOf, fromStored, isStored, type Resources, type Stored } from '../resources.ts';

/** The objects that parametrize a policy for one request: null when it has none; empty when the binding does not apply for lack of any. */
export type Params = readonly (KubeObject | null)[];

/** What a binding's `paramRef` names at the moment. @throws Error with what can't be configured, and why */
export function resolveParams(resources: Resources, kind: ParamKind | undefined, ref: ParamRef | undefined, namespace: string): Params {
  if (!kind) return [null];
  const served = configured('policy', () => servedOf(resources, kind));
  return ref ? configured('binding', () => found(served, ref, namespace)) : [null];
}

function configured<T>(what: string, find: () => T): T {
  try {
    return find();
  } catch (error) {
    throw new Error(`failed to configure ${what}: ${messageOf(error)}`);
  }
}

function found(served: Stored, ref: ParamRef, namespace: string): KubeObject[] {
  const within = namespaceOf(served, ref, namespace);
  const objects = ref.selector ? selected(served, ref, within) : named(served, ref.name ?? '', within);
  if (objects.length > 0 || ref.parameterNotFoundAction === 'Allow') return objects;
  throw new Error('no params found for policy binding with `Deny` parameterNotFoundAction');
}

/** The stored resource that a `paramKind` names. @throws Error when none is served */
export function servedOf(resources: Resources, { apiVersion = '', kind = '' }: ParamKind): Stored {
  const served = resources.all.find(one => one.apiVersion === apiVersion && one.resource.kind === kind && isStored(one));
  if (served && isStored(served)) return served;
  const [version = '', group] = apiVersion.split('/').reverse();
  throw new Error(`failed to find resource referenced by paramKind: '${group ? `${group}/` : '/'}${version}, Kind=${kind}'`);
}

function namespaceOf({ resource }: Stored, ref: ParamRef, namespace: string): string {
  if (!resource.namespaced) {
    if (ref.namespace) throw new Error('paramRef.namespace must not be provided for a cluster-scoped `paramKind`');
    return '';
  }
  const within = ref.namespace || namespace;
  if (!within) throw new Error('cannot use namespaced paramRef in policy binding that matches cluster-scoped resources');
  return within;
}

function named(served: Stored, name: string, namespace: string): KubeObject[] {
  const found = served.cache.get(cacheKeyOf(namespace, name));
  return found ? [fromStored(served, found.object())] : [];
}

function selected(served: Stored, { selector }: ParamRef, namespace: string): KubeObject[] {
  const requirements = requirementsOf(selector ?? {});
  const [from, to] = namespace ? [`${namespace}/`, `${namespace}0`] : ['', '\uffff'];
  const found: KubeObject[] = [];
  for (const stored of served.cache.now.range(from, to))
    if (matchesLabels(requirements, stored.projection.labels)) found.push(fromStored(served, stored.object()));
  return found;
}
