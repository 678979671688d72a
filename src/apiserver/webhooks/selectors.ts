import { type LabelRequirement, matchesLabels } from '#base/label-selector.ts';
import type { Resources, Stored } from '../resources.ts';
import type { AdmissionAttributes } from './attributes.ts';

/** What a webhook or a policy asks of the labels of a request's namespace and object. None: all match. */
export interface AdmissionSelectors {
  readonly namespaceSelector: readonly LabelRequirement[];
  readonly objectSelector: readonly LabelRequirement[];
}

/** Judges requests by selectors, for webhooks and policies alike. */
export class SelectorMatcher {
  readonly #namespaces: Stored;

  constructor(resources: Resources) {
    this.#namespaces = resources.stored('', 'v1', 'namespaces');
  }

  /** True when the request's namespace and its object, new or old, are selected. */
  matches({ namespaceSelector, objectSelector }: AdmissionSelectors, attributes: AdmissionAttributes): boolean {
    return this.#namespaceMatches(namespaceSelector, attributes) && objectMatches(objectSelector, attributes);
  }

  /** The namespace that the request is in, null for cluster-scoped ones. */
  namespaceOf({ served, namespace }: AdmissionAttributes): object | null {
    if (!namespace || served.cache === this.#namespaces.cache) return null;
    return this.#namespaces.cache.get(namespace)?.object() ?? null;
  }

  /** A namespace is judged by its own labels, other objects by those of the namespace they are in. */
  #namespaceMatches(requirements: readonly LabelRequirement[], attributes: AdmissionAttributes): boolean {
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

function objectMatches(requirements: readonly LabelRequirement[], attributes: AdmissionAttributes): boolean {
  if (requirements.length === 0) return true;
  const { served } = attributes;
  return [attributes.object(served), attributes.old(served)].some(
    object => object?.metadata !== undefined && matchesLabels(requirements, object.metadata.labels),
  );
}
