import type { FlowSchema } from '#kinds/types.gen.ts';
import type { Identity } from '../identity.ts';

type Rules = NonNullable<FlowSchema['spec']['rules']>[number];
type Subject = Rules['subjects'][number];

/** What a request is, as far as flow schemas look at it. */
export interface FlowRequest {
  identity: Identity;
  verb: string;
  group: string;
  /** With its subresource; undefined for paths. */
  resource: string | undefined;
  namespace: string;
  path: string;
}

/** Schemas in the order in which they are asked. */
export function inOrder(schemas: Iterable<FlowSchema>): FlowSchema[] {
  const precedence = ({ spec }: FlowSchema) => spec.matchingPrecedence ?? 1000;
  return [...schemas].sort((a, b) => precedence(a) - precedence(b) || (a.metadata.name < b.metadata.name ? -1 : 1));
}

/** True when one of the schema's rules is for this request. */
export function fitsFlow({ spec: { rules = [] } }: FlowSchema, request: FlowRequest): boolean {
  for (const rule of rules) if (isMeant(rule.subjects, request.identity) && isAsked(rule, request)) return true;
  return false;
}

/** Tells the flows of one schema apart: the user, the namespace, or all are one. */
export function distinguisherOf({ spec }: FlowSchema, { identity, namespace }: FlowRequest): string {
  const type = spec.distinguisherMethod?.type;
  return type === 'ByUser' ? identity.name : type === 'ByNamespace' ? namespace : '';
}

function isMeant(subjects: readonly Subject[], { name, groups }: Identity): boolean {
  for (const { kind, user, group, serviceAccount } of subjects) {
    if (kind === 'User' && user && (user.name === '*' || user.name === name)) return true;
    if (kind === 'Group' && group && (group.name === '*' || groups.includes(group.name))) return true;
    if (kind === 'ServiceAccount' && serviceAccount) {
      const prefix = `system:serviceaccount:${serviceAccount.namespace}:`;
      if (serviceAccount.name === '*' ? name.startsWith(prefix) : name === prefix + serviceAccount.name) return true;
    }
  }
  return false;
}

function isAsked({ resourceRules = [], nonResourceRules = [] }: Rules, { verb, group, resource, namespace, path }: FlowRequest): boolean {
  if (resource === undefined) {
    return nonResourceRules.some(({ verbs, nonResourceURLs }) => has(verbs, verb) && nonResourceURLs.some(url => fitsPath(url, path)));
  }
  return resourceRules.some(
    rule =>
      has(rule.verbs, verb) &&
      has(rule.apiGroups, group) &&
      has(rule.resources, resource) &&
      (namespace ? has(rule.namespaces ?? [], namespace) : rule.clusterScope === true),
  );
}

function has(values: readonly string[], value: string): boolean {
  return values.includes(value) || values[0] === '*';
}

function fitsPath(pattern: string, path: string): boolean {
  return pattern === '*' || pattern === path || (pattern.endsWith('/*') && path.startsWith(pattern.slice(0, -1)));
}
