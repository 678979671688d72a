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

interface Lingering {
  /** Nobody uses it: it is about to be let go. */
  leaving?: Disposable;
}

interface Watched<T extends ConfigMap | Secret> extends Lingering {
  informer: Informer<T>;
  /** By user and purpose. */
  users: Map<string, () => void>;
  /** The first picture has come. */
  isComplete: boolean;
}

/** How long a watch outlives its last use. Pods that follow one another mostly use the same objects, and a watch costs a TLS handshake. */
const LINGER_MS = 30_000;
/** Watches that nobody uses; more are not kept. */
const MAX_LINGERING = 8;

/**
 * ConfigMaps and Secrets that pods of this node refer to: each is watched by itself, by name, while a pod uses it, since a node may read
 * no others. The first use waits for the object's state; a change is told to all users. A watch lingers a while for the next volume that
 * shows the same object; what is read once (an environment, a login) is always read anew.
 */
export class ObjectSource implements AsyncDisposable {
  readonly #options: ObjectSourceOptions;
  readonly #configMaps = new Map<string, Watched<ConfigMap>>();
  readonly #secrets = new Map<string, Watched<Secret>>();
  readonly #lingering = new Set<Lingering>();

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
    await Promise.all([this.#releaseFrom(this.#configMaps, user), this.#releaseFrom(this.#secrets, user)]);
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
    if (entry?.leaving) {
      this.#stay(entry);
      if (purpose !== 'volumes') {
        watched.delete(key);
        await entry.informer[Symbol.asyncDispose]();
        entry = watched.get(key);
      }
    }
    if (!entry) {
      const informer = new Informer<T>({ ...this.#options, kind, query: { namespace, fieldSelector: `metadata.name=${name}` } });
      const users = new Map<string, () => void>();
      informer.subscribe(() => {
        for (const tell of users.values()) tell();
      });
      entry = { informer, users, isComplete: false };
      watched.set(key, entry);
    }
    const { informer, users } = entry;
    const who = `${user}/${purpose}`;
    // What comes with the first picture is the answer, no change.
    if (!users.has(who)) users.set(who, () => {});
    await informer.start();
    entry.isComplete = true;
    if (users.has(who)) users.set(who, changed);
    return informer.get(key);
  }

  async #releaseFrom<T extends ConfigMap | Secret>(watched: Map<string, Watched<T>>, user: string): Promise<void> {
    for (const [key, entry] of watched) {
      const { informer, users } = entry;
      const own = [...users.keys()].filter(use => use.startsWith(`${user}/`));
      for (const use of own) users.delete(use);
      if (own.length === 0 || users.size > 0) continue;
      const letGo = async () => {
        this.#stay(entry);
        watched.delete(key);
        await informer[Symbol.asyncDispose]();
      };
      if (!entry.isComplete || this.#lingering.size >= MAX_LINGERING) await letGo();
      else {
        entry.leaving = this.#options.clock.after(LINGER_MS, () => void letGo());
        this.#lingering.add(entry);
      }
    }
  }

  /** It is used again, or let go now. */
  #stay(entry: Lingering): void {
    entry.leaving?.[Symbol.dispose]();
    delete entry.leaving;
    this.#lingering.delete(entry);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#configMaps.values(), ...this.#secrets.values()];
    for (const entry of all) this.#stay(entry);
    await Promise.all(all.map(({ informer }) => informer[Symbol.asyncDispose]()));
  }
}
