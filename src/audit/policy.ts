import { UmiakError } from '#base/errors.ts';
import type { AuditLevel, AuditStage } from './record.ts';

/** What a policy looks at. For resources `resource` is set, for everything else `path`. */
export interface AuditedRequest {
  user: string;
  groups: readonly string[];
  verb: string;
  group: string;
  resource: string | undefined;
  subresource: string;
  namespace: string;
  name: string;
  path: string;
}

export interface AuditDecision {
  level: AuditLevel;
  omitStages: ReadonlySet<AuditStage>;
  omitManagedFields: boolean;
}

/** Decides how much is recorded of a request, before it is served. */
export type AuditPolicy = (request: AuditedRequest) => AuditDecision;

interface Rule {
  level: AuditLevel;
  users?: string[];
  userGroups?: string[];
  verbs?: string[];
  resources?: { group?: string; resources?: string[]; resourceNames?: string[] }[];
  namespaces?: string[];
  nonResourceURLs?: string[];
  omitStages?: AuditStage[];
  omitManagedFields?: boolean;
}

const LEVELS: readonly AuditLevel[] = ['None', 'Metadata', 'Request', 'RequestResponse'];
const STAGES: readonly AuditStage[] = ['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic'];
const LISTS = ['users', 'userGroups', 'verbs', 'namespaces', 'nonResourceURLs', 'omitStages'] as const;
const NOTHING: AuditDecision = { level: 'None', omitStages: new Set(), omitManagedFields: false };

/** The policy that a document of `audit.k8s.io/v1` Policy describes: the first rule that fits decides, none means nothing. @throws `Invalid` naming the field */
export function parseAuditPolicy(document: unknown): AuditPolicy {
  const policy = asObject(document, 'the policy');
  if (policy.kind !== 'Policy' || policy.apiVersion !== 'audit.k8s.io/v1') throw invalid('kind', 'must be Policy of audit.k8s.io/v1');
  const common = stagesOf(policy.omitStages, 'omitStages');
  if (!Array.isArray(policy.rules) || policy.rules.length === 0) throw invalid('rules', 'must have at least one rule');
  const rules = policy.rules.map((value: unknown, i) => {
    const rule = checkRule(value, `rules[${i}]`);
    const decision: AuditDecision = {
      level: rule.level,
      omitStages: new Set([...common, ...(rule.omitStages ?? [])]),
      omitManagedFields: rule.omitManagedFields ?? policy.omitManagedFields === true,
    };
    return { rule, decision };
  });
  return request => rules.find(({ rule }) => fits(rule, request))?.decision ?? NOTHING;
}

function fits(rule: Rule, request: AuditedRequest): boolean {
  const { users, userGroups, verbs, namespaces, resources, nonResourceURLs } = rule;
  if (users?.length && !users.includes(request.user)) return false;
  if (userGroups?.length && !userGroups.some(group => request.groups.includes(group))) return false;
  if (verbs?.length && !verbs.includes(request.verb)) return false;
  if (namespaces?.length || resources?.length) return fitsResource(rule, request);
  if (!nonResourceURLs?.length) return true;
  return request.resource === undefined && nonResourceURLs.some(pattern => fitsPath(pattern, request.path));
}

function fitsResource({ namespaces, resources }: Rule, { group, resource, subresource, namespace, name }: AuditedRequest): boolean {
  if (resource === undefined || (namespaces?.length && !namespaces.includes(namespace))) return false;
  if (!resources?.length) return true;
  const combined = subresource ? `${resource}/${subresource}` : resource;
  return resources.some(one => {
    if ((one.group ?? '') !== group) return false;
    if (one.resourceNames?.length && !one.resourceNames.includes(name)) return false;
    if (!one.resources?.length) return true;
    return one.resources.some(
      pattern =>
        pattern === '*' || pattern === combined || (subresource !== '' && (pattern === `*/${subresource}` || pattern === `${resource}/*`)),
    );
  });
}

function fitsPath(pattern: string, path: string): boolean {
  return pattern === '*' || pattern === path || (pattern.endsWith('*') && path.startsWith(pattern.slice(0, -1)));
}

function checkRule(value: unknown, at: string): Rule {
  const rule = asObject(value, at);
  if (!LEVELS.includes(rule.level as AuditLevel)) throw invalid(`${at}.level`, `must be one of ${LEVELS.join(', ')}`);
  for (const field of LISTS) {
    const list = rule[field];
    if (list !== undefined && !(Array.isArray(list) && list.every(item => typeof item === 'string')))
      throw invalid(`${at}.${field}`, 'must be a list of words');
  }
  const { nonResourceURLs, resources, namespaces } = rule as Partial<Rule>;
  if (nonResourceURLs?.length && (resources?.length || namespaces?.length))
    throw invalid(`${at}.nonResourceURLs`, 'rules cannot apply to both regular resources and non-resource URLs');
  nonResourceURLs?.forEach((url, i) => {
    if (url !== '*' && (!url.startsWith('/') || url.slice(0, -1).includes('*')))
      throw invalid(`${at}.nonResourceURLs[${i}]`, 'must begin with / and may have * only at its end');
  });
  if (resources !== undefined && !Array.isArray(resources)) throw invalid(`${at}.resources`, 'must be a list');
  resources?.forEach((one, i) => {
    const group = asObject(one, `${at}.resources[${i}]`);
    if (Array.isArray(group.resourceNames) && group.resourceNames.length && !(group.resources as unknown[] | undefined)?.length)
      throw invalid(`${at}.resources[${i}].resourceNames`, 'using resourceNames requires at least one resource');
  });
  stagesOf(rule.omitStages, `${at}.omitStages`);
  return rule as unknown as Rule;
}

function stagesOf(value: unknown, at: string): AuditStage[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || !value.every(stage => STAGES.includes(stage))) throw invalid(at, `must be of ${STAGES.join(', ')}`);
  return value;
}

function asObject(value: unknown, at: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(at, 'must be an object');
  return value as Record<string, unknown>;
}

function invalid(at: string, what: string): UmiakError {
  return new UmiakError('Invalid', `the audit policy's ${at} ${what}`);
}
