import type { PolicyRule } from '#kinds/types.gen.ts';
import type { Attributes } from './identity.ts';

/** True when the rule lets the request through. */
export function ruleAllows(rule: PolicyRule, { verb, group, resource, subresource, name, path }: Attributes): boolean {
  if (!includes(rule.verbs, verb)) return false;
  if (path !== undefined) return matchesPath(rule.nonResourceURLs, path);
  return (
    includes(rule.apiGroups, group) &&
    matchesResource(rule.resources, subresource ? `${resource}/${subresource}` : resource, subresource) &&
    (!rule.resourceNames?.length || rule.resourceNames.includes(name))
  );
}

/** What of `wanted` the `held` rules do not give, as rules of one verb and one thing each. */
export function rulesNotHeld(wanted: readonly PolicyRule[], held: readonly PolicyRule[]): PolicyRule[] {
  return wanted.flatMap(toAtoms).filter(atom => !held.some(rule => covers(rule, atom)));
}

/** The form in which refusals quote rules: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`. */
export function formatRule({ apiGroups, resources, resourceNames, nonResourceURLs, verbs }: PolicyRule): string {
  const parts: [string, string[] | undefined][] = [
    ['NonResourceURLs', nonResourceURLs],
    ['APIGroups', apiGroups],
    ['Resources', resources],
    ['ResourceNames', resourceNames],
    ['Verbs', verbs],
  ];
  return `{${parts.flatMap(([name, values]) => (values?.length ? [`${name}:${JSON.stringify(values)}`] : [])).join(', ')}}`;
}

function includes(values: readonly string[] | undefined, value: string): boolean {
  return values?.some(candidate => candidate === '*' || candidate === value) ?? false;
}

function matchesResource(resources: readonly string[] | undefined, combined: string, subresource: string): boolean {
  return (
    resources?.some(candidate => candidate === '*' || candidate === combined || (subresource !== '' && candidate === `*/${subresource}`)) ??
    false
  );
}

function matchesPath(patterns: readonly string[] | undefined, path: string): boolean {
  return (
    patterns?.some(
      pattern => pattern === '*' || pattern === path || (pattern.endsWith('*') && path.startsWith(pattern.replace(/\*+$/, ''))),
    ) ?? false
  );
}

function toAtoms({ apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [], verbs }: PolicyRule): PolicyRule[] {
  const names = resourceNames.length ? resourceNames.map(name => ({ resourceNames: [name] })) : [{}];
  const things: Omit<PolicyRule, 'verbs'>[] = [
    ...apiGroups.flatMap(group =>
      resources.flatMap(resource => names.map(name => ({ apiGroups: [group], resources: [resource], ...name }))),
    ),
    ...nonResourceURLs.map(url => ({ nonResourceURLs: [url] })),
  ];
  return verbs.flatMap(verb => things.map(thing => ({ ...thing, verbs: [verb] })));
}

function covers(rule: PolicyRule, atom: PolicyRule): boolean {
  if (!includes(rule.verbs, atom.verbs[0]!)) return false;
  const [url] = atom.nonResourceURLs ?? [];
  if (url !== undefined) return matchesPath(rule.nonResourceURLs, url);
  const resource = atom.resources![0]!;
  const slash = resource.indexOf('/');
  const [name] = atom.resourceNames ?? [];
  return (
    includes(rule.apiGroups, atom.apiGroups![0]!) &&
    matchesResource(rule.resources, resource, slash < 0 ? '' : resource.slice(slash + 1)) &&
    (!rule.resourceNames?.length || (name !== undefined && rule.resourceNames.includes(name)))
  );
}
