import { apiVersionOf, type Kind, type KubeObject, type Resource, type Storage, type Subresource, storedKindOf } from '#kinds/kind.ts';
import { ResourceCache } from './resource-cache.ts';
import { Layout } from './stored-object.ts';

/** What all object keys begin with. */
export const ROOT = '/registry/';

/** A resource as it is served in one version: what it is, where its objects are, and how they turn into this version. */
export interface Served {
  readonly kind: Kind;
  readonly resource: Resource;
  readonly apiVersion: string;
  /** Absent: computed, never stored (reviews, bindings). */
  readonly cache: ResourceCache | undefined;
  /** The kind whose version is stored; `kind` itself but for those with a conversion. */
  readonly storedKind: Kind;
  readonly conversion: Storage | undefined;
}

/** A stored resource, ready for reading and writing. */
export type Stored = Served & { readonly cache: ResourceCache };

export function isStored(served: Served): served is Stored {
  return served.cache !== undefined;
}

/** All that is served, found by the words of a path. */
export class Resources {
  readonly all: readonly Served[];
  readonly caches: readonly ResourceCache[];
  readonly #byPath = new Map<string, Served>();
  readonly #groupVersions = new Set<string>();

  constructor(kinds: readonly Kind[]) {
    const caches = new Map<Kind, ResourceCache>();
    this.all = kinds.map(kind => {
      const storedKind = storedKindOf(kind);
      return {
        kind,
        resource: kind.resource,
        apiVersion: apiVersionOf(kind.resource),
        cache: kind.resource.verbs.includes('watch') ? cacheFor(storedKind, caches) : undefined,
        storedKind,
        conversion: kind.storage,
      };
    });
    this.caches = [...caches.values()];
    for (const served of this.all) {
      this.#byPath.set(nameOf(served.resource), served);
      this.#groupVersions.add(`${served.resource.group}/${served.resource.version}`);
    }
  }

  find(group: string, version: string, plural: string): Served | undefined {
    return this.#byPath.get(`${group}/${version}/${plural}`);
  }

  /** A stored resource that the program itself relies on. */
  stored(group: string, version: string, plural: string): Stored {
    const served = this.find(group, version, plural);
    if (!served || !isStored(served)) throw new Error(`${group}/${version}/${plural} is not stored`);
    return served;
  }

  hasGroupVersion(group: string, version: string): boolean {
    return this.#groupVersions.has(`${group}/${version}`);
  }
}

export function subresourceOf(served: Served, name: string): Subresource | undefined {
  return served.resource.subresources?.find(subresource => subresource.name === name);
}

/** `namespace/name`, or the name. */
export function cacheKeyOf(namespace: string, name: string): string {
  return namespace ? `${namespace}/${name}` : name;
}

/** The object in the version that `served` shows. */
export function fromStored(served: Served, object: KubeObject): KubeObject {
  return served.conversion ? served.conversion.fromStored(object) : object;
}

function nameOf({ group, version, plural }: { group: string; version: string; plural: string }): string {
  return `${group}/${version}/${plural}`;
}

function cacheFor(kind: Kind, caches: Map<Kind, ResourceCache>): ResourceCache {
  const known = caches.get(kind);
  if (known) return known;
  const { group, plural } = kind.resource;
  const layout = new Layout(apiVersionOf(kind.resource), kind.resource.kind, kind.selectableFields ?? {});
  const cache = new ResourceCache({ layout, prefix: `${ROOT}${group || 'core'}/${plural}/` });
  caches.set(kind, cache);
  return cache;
}
