import { requirementsOf } from '#base/label-selector.ts';
import type { MatchResources, NamedRuleWithOperations } from '#kinds/types.gen.ts';
import type { Resources, Served } from '../resources.ts';
import type { AdmissionAttributes } from '../webhooks/attributes.ts';
import { servedFor } from '../webhooks/rules.ts';
import { SelectorMatcher } from '../webhooks/selectors.ts';

/** Decides which requests a policy or binding is for. */
export class Matcher {
  readonly #resources: Resources;
  readonly #selectors: SelectorMatcher;

  constructor(resources: Resources) {
    this.#resources = resources;
    this.#selectors = new SelectorMatcher(resources);
  }

  /** The version in which the policy sees the request, undefined when it is not for it. No rules match everything. */
  match(constraints: MatchResources | undefined, attributes: AdmissionAttributes): Served | undefined {
    if (!constraints) return attributes.served;
    const { resourceRules = [], excludeResourceRules = [], matchPolicy } = constraints;
    if (excludeResourceRules.length > 0 && this.#served(excludeResourceRules, matchPolicy, attributes)) return undefined;
    const served = resourceRules.length === 0 ? attributes.served : this.#served(resourceRules, matchPolicy, attributes);
    if (!served) return undefined;
    const namespaceSelector = requirementsOf(constraints.namespaceSelector ?? {});
    const objectSelector = requirementsOf(constraints.objectSelector ?? {});
    return this.#selectors.matches({ namespaceSelector, objectSelector }, attributes) ? served : undefined;
  }

  /** The namespace that the request is in, null for cluster-scoped ones. */
  namespaceOf(attributes: AdmissionAttributes): object | null {
    return this.#selectors.namespaceOf(attributes);
  }

  #served(rules: readonly NamedRuleWithOperations[], matchPolicy: string | undefined, attributes: AdmissionAttributes): Served | undefined {
    const named = rules.filter(({ resourceNames = [] }) => resourceNames.length === 0 || resourceNames.includes(attributes.name));
    return named.length === 0 ? undefined : servedFor(named, matchPolicy, attributes, this.#resources.all);
  }
}
