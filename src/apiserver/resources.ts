import { apiVersionOf, type Kind, type KubeObject, type Resource, type Storage, type Subresource, storedKindOf } from '#kinds/kind.ts';
import { ResourceCache } from './resource-cache.ts';
import { Layout, type StoredObject } from './stored-object.ts';

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
  /** Turns stored objects into this version where that takes asking somebody else. */
  readonly converter?: Converter | undefined;
}

/** Conversion by others, over the network. */
export interface Converter {
  /** How objects of the shown version are written. */
  readonly layout: Layout;
  /** The objects in the shown version. @throws `InternalError` */
  show(objects: readonly StoredObject[]): Promise<StoredObject[]>;
  /** What `show` made of the object. */
  shown(object: StoredObject): StoredObject;
  /** The text to store for an object of the shown version. @throws `InternalError` */
  encode(object: KubeObject): Promise<Buffer>;
}

/** The object in the version that is shown, where that takes a conversion by others. */
export async function shownIn({ converter }: Served, stored: StoredObject): Promise<StoredObject> {
  return converter ? (await converter.show([stored]))[0]! : stored;
}

/** A stored resource, ready for reading and writing. */
export type Stored = Served & { readonly cache: ResourceCache };

export function isStored(served: Served): served is Stored {
  return served.cache !== undefined;
}

/** Kinds that come and go together: versions of one resource. */
export interface CustomService {
  kinds: readonly Kind[];
  /** The objects that they share. */
  cache: ResourceCache;
  /** One for each kind, where conversion takes asking others. */
  converters?: readonly Converter[] | undefined;
}

/** All that is served, found by the words of a path: the built-in kinds for good, custom ones as they come and go. */
export class Resources {
  readonly #builtin: readonly Served[];
  readonly #custom = new Map<string, readonly Served[]>();
  readonly #caches = new Set<ResourceCache>();
  readonly #byPath = new Map<string, Served>();
  readonly #groupVersions = new Map<string, number>();
  #all: readonly Served[] | undefined;
  #generation = 0;

  constructor(kinds: readonly Kind[]) {
    const caches = new Map<Kind, ResourceCache>();
    this.#builtin = kinds.map(kind => toServed(kind, caches));
    for (const cache of caches.values()) this.#caches.add(cache);
    for (const served of this.#builtin) this.#enter(served);
  }

  /** Everything served at the moment. */
  get all(): readonly Served[] {
    this.#all ??= [...this.#builtin, ...[...this.#custom.values()].flat()];
    return this.#all;
  }

  /** The caches of what is stored. */
  get caches(): Iterable<ResourceCache> {
    return this.#caches;
  }

  /** Changes whenever something else is served. */
  get generation(): number {
    return this.#generation;
  }

  /** Serves these kinds instead of what was served under `name` before. */
  serve(name: string, { kinds, cache, converters }: CustomService): void {
    this.withdraw(name);
    const served = kinds.map((kind, i) => ({ ...toServed(kind), cache, converter: converters?.[i] }));
    this.#custom.set(name, served);
    this.#caches.add(cache);
    for (const each of served) this.#enter(each);
    this.#changed();
  }

  /** No longer serves what is served under `name`. The caches' readers are their owner's to end. */
  withdraw(name: string): void {
    const served = this.#custom.get(name);
    if (!served) return;
    this.#custom.delete(name);
    for (const each of served) {
      if (each.cache) this.#caches.delete(each.cache);
      if (this.#byPath.get(nameOf(each.resource)) !== each) continue;
      this.#byPath.delete(nameOf(each.resource));
      const groupVersion = `${each.resource.group}/${each.resource.version}`;
      const left = (this.#groupVersions.get(groupVersion) ?? 1) - 1;
      if (left > 0) this.#groupVersions.set(groupVersion, left);
      else this.#groupVersions.delete(groupVersion);
    }
    this.#changed();
  }

  /** Whoever came first stays: a custom resource never hides a built-in one. */
  #enter(served: Served): void {
    const name = nameOf(served.resource);
    if (this.#byPath.has(name)) return;
    this.#byPath.set(name, served);
    const groupVersion = `${served.resource.group}/${served.resource.version}`;
    this.#groupVersions.set(groupVersion, (this.#groupVersions.get(groupVersion) ?? 0) + 1);
  }

  #changed(): void {
    this.#all = undefined;
    this.#generation++;
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

function toServed(kind: Kind, caches?: Map<Kind, ResourceCache>): Served {
  const storedKind = storedKindOf(kind);
  return {
    kind,
    resource: kind.resource,
    apiVersion: apiVersionOf(kind.resource),
    cache: caches && kind.resource.verbs.includes('watch') ? cacheFor(storedKind, caches) : undefined,
    storedKind,
    conversion: kind.storage,
  };
}

/** What the keys of a resource's objects begin with. */
export function prefixOf({ group, plural }: { group: string; plural: string }): string {
  return `${ROOT}${group || 'core'}/${plural}/`;
}

function cacheFor(kind: Kind, caches: Map<Kind, ResourceCache>): ResourceCache {
  const known = caches.get(kind);
  if (known) return known;
  const layout = new Layout(apiVersionOf(kind.resource), kind.resource.kind, kind.selectableFields ?? {});
  const cache = new ResourceCache({ layout, prefix: prefixOf(kind.resource) });
  caches.set(kind, cache);
  return cache;
}
