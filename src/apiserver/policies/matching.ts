import { matchesLabels, requirementsOf } from '#base/label-selector.ts';
import type { MatchResources, NamedRuleWithOperations } from '#kinds/types.gen.ts';
import type { Resources, Served, Stored } from '../resources.ts';
import type { AdmissionAttributes } from '../webhooks/attributes.ts';
import { servedFor } from '../webhooks/rules.ts';

/** Decides which requests a policy or binding is for. */
export class Matcher {
  readonly #resources: Resources;
  readonly #namespaces: Stored;

  constructor(resources: Resources) {
    this.#resources = resources;
    this.#namespaces = resources.stored('', 'v1', 'namespaces');
  }

  /** The version in which the policy sees the request, undefined when it is not for it. No rules match everything. */
  match(constraints: MatchResources | undefined, attributes: AdmissionAttributes): Served | undefined {
    if (!constraints) return attributes.served;
    const { resourceRules = [], excludeResourceRules = [], matchPolicy, namespaceSelector, objectSelector } = constraints;
    if (excludeResourceRules.length > 0 && this.#served(excludeResourceRules, matchPolicy, attributes)) return undefined;
    const served = resourceRules.length === 0 ? attributes.served : this.#served(resourceRules, matchPolicy, attributes);
    if (!served || !this.#namespaceMatches(namespaceSelector, attributes)) return undefined;
    return objectMatches(objectSelector, attributes) ? served : undefined;
  }

  /** The namespace that the request is in, null for cluster-scoped ones. */
  namespaceOf({ served, namespace }: AdmissionAttributes): object | null {
    if (!namespace || served.cache === this.#namespaces.cache) return null;
    return this.#namespaces.cache.get(namespace)?.object() ?? null;
  }

  #served(rules: readonly NamedRuleWithOperations[], matchPolicy: string | undefined, attributes: AdmissionAttributes): Served | undefined {
    const named = rules.filter(({ resourceNames = [] }) => resourceNames.length === 0 || resourceNames.includes(attributes.name));
    return named.length === 0 ? undefined : servedFor(named, matchPolicy, attributes, this.#resources.all);
  }

  #namespaceMatches(selector: MatchResources['namespaceSelector'], attributes: AdmissionAttributes): boolean {
    const requirements = requirementsOf(selector ?? {});
    if (requirements.length === 0) return true;
    const { served, namespace, subresource, name } = attributes;
    if (served.cache === this.#namespaces.cache) {
      const own = subresource ? undefined : attributes.object(served)?.metadata.labels;
      return matchesLabels(requirements, own ?? this.#labelsOf(name));
    }
    return namespace === '' || matchesLabels(requirements, this.#labelsOf(namespace));
  }

  #labelsOf(namespace: string): Record<string, string> | undefined {
    return this.#namespaces.cache.get(namespace)?.projection.labels;
  }
}

function objectMatches(selector: MatchResources['objectSelector'], attributes: AdmissionAttributes): boolean {
  const requirements = requirementsOf(selector ?? {});
  if (requirements.length === 0) return true;
  const { served } = attributes;
  return [attributes.object(served), attributes.old(served)].some(
    object => object?.metadata !== undefined && matchesLabels(requirements, object.metadata.labels),
  );
}
