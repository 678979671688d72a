import type { KubeObject } from '#kinds/kind.ts';
import type { ListOutcome } from './request.ts';
import { fromStored, type Served } from './resources.ts';
import type { StoredObject } from './stored-object.ts';

/** The object in the served version; without a resourceVersion when it was never stored. */
export function shownObject(served: Served, stored: StoredObject): KubeObject {
  const object = fromStored(served, stored.object());
  if (stored.revision === 0) Reflect.deleteProperty(object.metadata, 'resourceVersion');
  return object;
}

/** A list's own metadata. */
export function listMetadata({ revision, continueToken, remaining }: ListOutcome): object {
  return {
    resourceVersion: String(revision),
    ...(continueToken !== undefined && { continue: continueToken }),
    ...(remaining !== undefined && { remainingItemCount: remaining }),
  };
}
