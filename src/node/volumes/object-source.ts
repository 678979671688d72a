import type { Clock, Log } from '#base/index.ts';
import { type Client, Informer } from '#client/index.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import { Secret } from '#kinds/secret.ts';

export interface ObjectSourceOptions {
  client: Client;
  clock: Clock;
  log: Log;
}

/** Who needs an object, and wants to hear of its changes. */
export interface ObjectUse {
  /** A pod's UID: `release` ends all its uses. */
  user: string;
  /** What for; one listener a user and purpose. */
  purpose: 'environment' | 'volumes' | 'pull';
  changed: () => void;
}

interface Watched<T extends ConfigMap | Secret> {
  informer: Informer<T>;
  /** By user and purpose. */
  users: Map<string, () => void>;
}

/**
 * ConfigMaps and Secrets that pods of this node refer to: each is watched by itself, by name, while a pod uses it, since a node may read
 * no others. The first use waits for the object's state; a change is told to all users.
 */
export class ObjectSource implements AsyncDisposable {
  readonly #options: ObjectSourceOptions;
  readonly #configMaps = new Map<string, Watched<ConfigMap>>();
  readonly #secrets = new Map<string, Watched<Secret>>();

  constructor(options: ObjectSourceOptions) {
    this.#options = options;
  }

  /** Undefined when there is no such object. The use keeps the watch and hears of every later change, also of its coming into being. */
  async configMap(namespace: string, name: string, use: ObjectUse): Promise<ConfigMap | undefined> {
    return this.#use(this.#configMaps, ConfigMap, namespace, name, use);
  }

  async secret(namespace: string, name: string, use: ObjectUse): Promise<Secret | undefined> {
    return this.#use(this.#secrets, Secret, namespace, name, use);
  }

  /** The user needs nothing any more. */
  async release(user: string): Promise<void> {
    await Promise.all([releaseFrom(this.#configMaps, user), releaseFrom(this.#secrets, user)]);
  }

  async #use<T extends ConfigMap | Secret>(
    watched: Map<string, Watched<T>>,
    kind: Informer<T>['kind'],
    namespace: string,
    name: string,
    { user, purpose, changed }: ObjectUse,
  ): Promise<T | undefined> {
    const key = `${namespace}/${name}`;
    let entry = watched.get(key);
    if (!entry) {
      const informer = new Informer<T>({ ...this.#options, kind, query: { namespace, fieldSelector: `metadata.name=${name}` } });
      const users = new Map<string, () => void>();
      informer.subscribe(() => {
        for (const tell of users.values()) tell();
      });
      entry = { informer, users };
      watched.set(key, entry);
    }
    const { informer, users } = entry;
    const who = `${user}/${purpose}`;
    // What comes with the first picture is the answer, no change.
    if (!users.has(who)) users.set(who, () => {});
    await informer.start();
    if (users.has(who)) users.set(who, changed);
    return informer.get(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#configMaps.values(), ...this.#secrets.values()];
    await Promise.all(all.map(({ informer }) => informer[Symbol.asyncDispose]()));
  }
}

async function releaseFrom<T extends ConfigMap | Secret>(watched: Map<string, Watched<T>>, user: string): Promise<void> {
  for (const [key, { informer, users }] of watched) {
    const own = [...users.keys()].filter(use => use.startsWith(`${user}/`));
    for (const use of own) users.delete(use);
    if (own.length === 0 || users.size > 0) continue;
    watched.delete(key);
    await informer[Symbol.asyncDispose]();
  }
}
