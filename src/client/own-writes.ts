import { copyJson, isUmiakError } from '#base/index.ts';
import { groupResourceOf, type Key, type Kind, type KubeObject } from '#kinds/kind.ts';
import type { Client, DeleteQuery } from './client.ts';
import type { ReconcileClient } from './controller.ts';
import { type Informer, keyText } from './informer.ts';

export interface TrackedClient {
  client: ReconcileClient;
  /** Resolves when the local pictures show everything that was written and deleted through `client`. @throws `Timeout` */
  caughtUp(): Promise<void>;
}

/**
 * A client whose cached reads have seen its own writes: `caughtUp` waits until each local picture has reached the newest revision
 * written to its kind, and no longer shows as alive what was deleted. So a reconcile never acts twice on a picture from before its
 * last act.
 */
export function trackWrites(client: Client, informers: ReadonlyMap<string, Informer<KubeObject>>, signal: AbortSignal): TrackedClient {
  const written = new Map<Informer<KubeObject>, number>();
  const deleted = new Map<Informer<KubeObject>, Map<string, string>>();
  const informerOf = (kind: Kind) => informers.get(groupResourceOf(kind.resource));

  const note = <T extends KubeObject>(kind: Kind<T>, object: T): T => {
    const informer = informerOf(kind);
    const revision = Number(object.metadata.resourceVersion);
    if (informer && revision > (written.get(informer) ?? 0)) written.set(informer, revision);
    return object;
  };
  const noteDeleted = (kind: Kind, key: Key): void => {
    const informer = informerOf(kind);
    const uid = informer?.get(key)?.metadata.uid;
    if (!informer || !uid) return;
    deleted.set(informer, (deleted.get(informer) ?? new Map<string, string>()).set(keyText(key), uid));
  };
  const cached = <T extends KubeObject>(kind: Kind<T>): Informer<T> => {
    const found = informerOf(kind);
    if (!found) throw new TypeError(`the controller does not watch ${groupResourceOf(kind.resource)}`);
    return found as unknown as Informer<T>;
  };

  return {
    client: {
      ...client,
      cached,
      listOwned: (kind, owner) => cached(kind).ownedBy(owner.metadata.uid),
      getLive: (kind, key) => client.get(kind, key),
      get: async (kind, key) => (informerOf(kind)?.keepsWhole ? copyJson(cached(kind).get(key)) : client.get(kind, key)),
      create: async (kind, object) => note(kind, await client.create(kind, object)),
      update: async (kind, object) => note(kind, await client.update(kind, object)),
      updateStatus: async (kind, object) => note(kind, await client.updateStatus(kind, object)),
      patch: async (kind, key, patch, options) => note(kind, await client.patch(kind, key, patch, options)),
      async delete(kind: Kind, key: Key, options?: DeleteQuery) {
        try {
          await client.delete(kind, key, options);
        } catch (error) {
          if (isUmiakError(error, 'NotFound')) noteDeleted(kind, key);
          throw error;
        }
        noteDeleted(kind, key);
      },
    },
    async caughtUp() {
      for (const [informer, revision] of written) await informer.reached(revision, signal);
      for (const [informer, uids] of deleted) {
        const due = [...uids];
        await informer.until(() => due.every(([key, uid]) => isGoing(informer.get(key), uid)), signal);
        for (const [key, uid] of due) if (uids.get(key) === uid) uids.delete(key);
      }
    },
  };
}

function isGoing(object: KubeObject | undefined, uid: string): boolean {
  return !object || object.metadata.uid !== uid || object.metadata.deletionTimestamp !== undefined;
}
