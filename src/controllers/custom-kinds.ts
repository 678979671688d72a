import type { Clock, Log } from '#base/index.ts';
import { type Change, type Client, Informer, type Informers } from '#client/index.ts';
import { CustomResourceDefinition } from '#kinds/apiextensions.ts';
import type { Kind, KubeObject } from '#kinds/kind.ts';
import { ownershipOnly } from './ownership-only.ts';

export interface CustomKindsOptions {
  client: Client;
  informers: Informers;
  clock: Clock;
  log: Log;
}

/** Told of every object of every custom kind as it comes, changes and goes. */
export type CustomListener = (kind: Kind, change: Change<KubeObject>) => void;

/** Of one definition: its kind as clients need it, and its objects' identity and owners. */
interface Followed {
  uid: string;
  kind: Kind;
  informer: Informer<KubeObject>;
}

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

/** The kinds that definitions define at the moment, and of their objects what garbage collection and namespaces look at. */
export class CustomKinds implements AsyncDisposable {
  readonly #options: CustomKindsOptions;
  readonly #definitions: Informer<CustomResourceDefinition>;
  readonly #followed = new Map<string, Followed>();
  readonly #listeners = new Set<CustomListener>();
  readonly #ending = new Set<Promise<void>>();
  #subscription: Disposable | undefined;
  #started: Promise<void> | undefined;

  constructor(options: CustomKindsOptions) {
    this.#options = options;
    this.#definitions = options.informers.of(CustomResourceDefinition, servedNamesOnly);
  }

  /** Resolves when the objects of all kinds that are there are known. */
  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  /** The kinds, in one served version each. */
  get kinds(): Kind[] {
    return [...this.#followed.values()].map(({ kind }) => kind);
  }

  /** The kind that an owner reference names, whatever version of it. */
  find(apiVersion: string, name: string): Kind | undefined {
    const group = apiVersion.slice(0, Math.max(0, apiVersion.indexOf('/')));
    return this.kinds.find(({ resource }) => resource.kind === name && resource.group === group);
  }

  /** What is known of a namespace's objects. */
  list(namespace: string): { kind: Kind; items: KubeObject[] }[] {
    return [...this.#followed.values()].map(({ kind, informer }) => ({ kind, items: informer.list(namespace) }));
  }

  /** Tells of what is there and of all that follows. */
  subscribe(listener: CustomListener): Disposable {
    for (const { kind, informer } of this.#followed.values()) for (const object of informer.list()) listener(kind, { key: '', object });
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  async #start(): Promise<void> {
    await this.#definitions.start();
    const synced: Promise<void>[] = [];
    for (const definition of this.#definitions.list()) synced.push(this.#take(definition));
    this.#subscription = this.#definitions.subscribe(({ object, previous }) => {
      if (object) void this.#take(object);
      else if (previous) this.#drop(previous.metadata.name);
    });
    await Promise.all(synced);
  }

  /** Follows what the definition says now. */
  #take(definition: CustomResourceDefinition): Promise<void> {
    const { name, uid } = definition.metadata;
    const kind = toKind(definition);
    const present = this.#followed.get(name);
    if (present && kind && present.uid === uid && present.kind.resource.version === kind.resource.version) return Promise.resolve();
    this.#drop(name);
    if (!kind) return Promise.resolve();
    const { client, clock, log } = this.#options;
    const informer = new Informer<KubeObject>({ client, kind, project: ownershipOnly, clock, log });
    this.#followed.set(name, { uid, kind, informer });
    informer.subscribe(change => this.#tell(kind, change));
    return informer.start();
  }

  #drop(name: string): void {
    const present = this.#followed.get(name);
    if (!present) return;
    this.#followed.delete(name);
    for (const previous of present.informer.list()) this.#tell(present.kind, { key: '', previous });
    const ending = present.informer[Symbol.asyncDispose]().finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  #tell(kind: Kind, change: Change<KubeObject>): void {
    for (const listener of this.#listeners) listener(kind, change);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscription?.[Symbol.dispose]();
    for (const name of [...this.#followed.keys()]) this.#drop(name);
    await Promise.all(this.#ending);
  }
}

/** An established definition's kind in the version that is stored or, if that isn't served, in another. */
function toKind({ spec, status }: CustomResourceDefinition): Kind | undefined {
  const isEstablished = status?.conditions?.some(({ type, status: is }) => type === 'Established' && is === 'True');
  const version = spec.versions.find(each => each.served && each.storage) ?? spec.versions.find(each => each.served);
  if (!isEstablished || !version) return undefined;
  const { plural, kind, singular = kind.toLowerCase() } = status?.acceptedNames ?? spec.names;
  const namespaced = spec.scope === 'Namespaced';
  return { resource: { group: spec.group, version: version.name, kind, plural, singular, namespaced, verbs: VERBS }, type: '' };
}

/** A definition without its schemas. */
function servedNamesOnly(definition: CustomResourceDefinition): CustomResourceDefinition {
  const { group, scope, names, versions } = definition.spec;
  const { conditions, acceptedNames } = definition.status ?? {};
  return {
    ...ownershipOnly(definition),
    spec: { group, scope, names, versions: versions.map(({ name, served, storage }) => ({ name, served, storage })) },
    status: { conditions, acceptedNames },
  };
}
