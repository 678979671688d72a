import type { RuleWithOperations } from '#kinds/types.gen.ts';
import type { Served } from '../resources.ts';
import type { AdmissionAttributes } from './attributes.ts';

/** What of a request rules look at. */
export type RuleSubject = Pick<AdmissionAttributes, 'operation' | 'subresource' | 'namespace'> & { served: Pick<Served, 'resource'> };

/** True when one of the rules names the operation, group, version, resource, subresource and scope. */
export function rulesMatch(rules: readonly RuleWithOperations[], subject: RuleSubject): boolean {
  return rules.some(rule => ruleMatches(rule, subject));
}

function ruleMatches(rule: RuleWithOperations, { operation, subresource, namespace, served }: RuleSubject): boolean {
  const { group, version, plural } = served.resource;
  const isNamespaced = namespace !== '' && !(group === '' && plural === 'namespaces');
  return (
    names(rule.operations, operation) &&
    names(rule.apiGroups, group) &&
    names(rule.apiVersions, version) &&
    (rule.resources ?? []).some(each => resourceMatches(each, plural, subresource)) &&
    (!rule.scope || rule.scope === '*' || (rule.scope === 'Namespaced') === isNamespaced)
  );
}

function names(list: readonly string[] = [], wanted: string): boolean {
  return list.includes('*') || list.includes(wanted);
}

/** `pods`, `pods/exec`, `pods/*`, `*`, `*` + `/scale`, `*` + `/*`: without a slash never a subresource. */
function resourceMatches(rule: string, plural: string, subresource: string): boolean {
  const [resource = '', sub = ''] = rule.split('/', 2);
  return (resource === '*' || resource === plural) && (sub === '*' || sub === subresource);
}

/**
 * The served resource under which a webhook sees the request: as it was asked, or, with policy `Equivalent`, the first other version
 * of the same objects that the rules name. Undefined: the rules name none.
 */
export function servedFor(
  rules: readonly RuleWithOperations[],
  matchPolicy: string | undefined,
  subject: AdmissionAttributes,
  all: readonly Served[],
): Served | undefined {
  if (rulesMatch(rules, subject)) return subject.served;
  if (matchPolicy === 'Exact' || !subject.served.cache) return undefined;
  return all.find(
    other =>
      other !== subject.served &&
      other.cache === subject.served.cache &&
      rulesMatch(rules, {
        operation: subject.operation,
        subresource: subject.subresource,
        namespace: subject.namespace,
        served: other,
      }),
  );
}
