import { createHash } from 'node:crypto';
import type { Context, Outcome } from './request.ts';
import type { Resources, Served } from './resources.ts';

/** All that is served in one answer, and what clients know it by. */
interface Aggregated {
  list: object;
  etag: string;
}

/** The same path has two forms. */
const VARY = { vary: 'Accept' };

/** Answers `/api`, `/apis` and what stands below them, whole (aggregated) or piece by piece. */
export class Discovery {
  readonly #resources: Resources;
  readonly #serverAddress: () => string;
  readonly #aggregated = new Map<boolean, Aggregated>();
  #generation = 0;

  constructor(resources: Resources, serverAddress: () => string) {
    this.#resources = resources;
    this.#serverAddress = serverAddress;
  }

  /** Undefined for a path that discovery has nothing to say about. */
  answer(path: string, context: Context): Outcome | undefined {
    const { media } = context;
    const words = path.split('/').filter(word => word !== '');
    const [root, group, version] = words;
    if (words.length === 1 && (root === 'api' || root === 'apis')) {
      if (media.as === 'discovery') return tagged(this.#aggregate(root === 'api'), context);
      return value(root === 'api' ? this.#coreVersions() : this.#groupList(), VARY);
    }
    if (root === 'api' && words.length === 2) return this.#resourceList('', group!);
    if (root === 'apis' && words.length === 2) return this.#group(group!);
    if (root === 'apis' && words.length === 3) return this.#resourceList(group!, version!);
    return undefined;
  }

  #aggregate(isCore: boolean): Aggregated {
    if (this.#generation !== this.#resources.generation) this.#aggregated.delete(false);
    this.#generation = this.#resources.generation;
    let made = this.#aggregated.get(isCore);
    if (!made) {
      const own = this.#resources.all.filter(({ resource }) => (resource.group === '') === isCore);
      const items = [...Map.groupBy(own, ({ resource }) => resource.group)].map(([group, served]) => ({
        metadata: { name: group },
        versions: versionsOf(served).map(version => ({
          version,
          resources: served.filter(({ resource }) => resource.version === version).map(toDiscovered),
          freshness: 'Current',
        })),
      }));
      const list = { kind: 'APIGroupDiscoveryList', apiVersion: 'apidiscovery.k8s.io/v2', metadata: {}, items };
      made = { list, etag: `"${createHash('sha256').update(JSON.stringify(list)).digest('hex')}"` };
      this.#aggregated.set(isCore, made);
    }
    return made;
  }

  #coreVersions(): object {
    return {
      kind: 'APIVersions',
      versions: ['v1'],
      serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: this.#serverAddress() }],
    };
  }

  #groupList(): object {
    const named = this.#resources.all.filter(({ resource }) => resource.group !== '');
    return {
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: [...Map.groupBy(named, ({ resource }) => resource.group)].map(([group, served]) => toGroup(group, served)),
    };
  }

  #group(group: string): Outcome | undefined {
    const served = this.#resources.all.filter(({ resource }) => resource.group === group);
    return served.length > 0 && group !== '' ? value({ kind: 'APIGroup', apiVersion: 'v1', ...toGroup(group, served) }) : undefined;
  }

  #resourceList(group: string, version: string): Outcome | undefined {
    if (!this.#resources.hasGroupVersion(group, version)) return undefined;
    const served = this.#resources.all.filter(({ resource }) => resource.group === group && resource.version === version);
    const groupVersion = group ? `${group}/${version}` : version;
    return value({ kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources: served.flatMap(toListed) });
  }
}

function value(body: object, headers?: Record<string, string>): Outcome {
  return { type: 'value', status: 200, value: body, ...(headers && { headers }) };
}

/** Clients that know this very list are told so. */
function tagged({ list, etag }: Aggregated, { media: { contentType }, request }: Context): Outcome {
  const headers = { ...VARY, etag };
  if (request.headers['if-none-match'] === etag) return { type: 'bytes', status: 304, bytes: Buffer.alloc(0), contentType, headers };
  return { type: 'value', status: 200, value: list, contentType, headers };
}

/** The preferred version first: stable before beta before alpha, higher before lower; then what is no such version, by its letters. */
function versionsOf(served: Served[]): string[] {
  return [...new Set(served.map(({ resource }) => resource.version))].sort(byPriority);
}

const LEVELS = ['alpha', 'beta', undefined];

function byPriority(a: string, b: string): number {
  const [left, right] = [a, b].map(version => /^v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?$/.exec(version));
  if (!left || !right) return left ? -1 : right ? 1 : a < b ? -1 : 1;
  return (
    LEVELS.indexOf(right[2]) - LEVELS.indexOf(left[2]) || Number(right[1]) - Number(left[1]) || Number(right[3] ?? 0) - Number(left[3] ?? 0)
  );
}

function toGroup(name: string, served: Served[]): object {
  const versions = versionsOf(served).map(version => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions, preferredVersion: versions[0] };
}

function toDiscovered({ resource }: Served): object {
  const { group, version, kind, plural, singular, namespaced, verbs, shortNames, categories, subresources } = resource;
  return {
    resource: plural,
    responseKind: { group, version, kind },
    scope: namespaced ? 'Namespaced' : 'Cluster',
    singularResource: singular,
    verbs,
    shortNames,
    categories,
    subresources: subresources?.map(each => ({
      subresource: each.name,
      responseKind: { group: each.group ?? group, version: each.version ?? version, kind: each.kind },
      verbs: each.verbs,
    })),
  };
}

/** By it clients see that what is stored has another version now. */
function storageVersionHash({ cache }: Served): string | undefined {
  if (!cache) return undefined;
  const { apiVersion, kind } = cache.layout;
  const groupVersion = apiVersion.includes('/') ? apiVersion : `/${apiVersion}`;
  return createHash('sha256').update(`${groupVersion}/${kind}`).digest().subarray(0, 8).toString('base64');
}

function toListed(served: Served): object[] {
  const { resource } = served;
  const { kind, plural, singular, namespaced, verbs, shortNames, categories, subresources = [] } = resource;
  return [
    {
      name: plural,
      singularName: singular,
      namespaced,
      kind,
      verbs,
      shortNames,
      categories,
      storageVersionHash: storageVersionHash(served),
    },
    ...subresources.map(each => ({
      name: `${plural}/${each.name}`,
      singularName: '',
      namespaced,
      ...(each.group !== undefined && { group: each.group }),
      ...(each.version !== undefined && { version: each.version }),
      kind: each.kind,
      verbs: each.verbs,
    })),
  ];
}
