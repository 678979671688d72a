import { UmiakError } from '#base/errors.ts';
import type { Client } from '#client/index.ts';
import type { Kind, KubeObject } from '#kinds/kind.ts';
import { kindOf } from '#kinds/registry.ts';

export interface Applied {
  /** `deployment.apps/web` */
  name: string;
  outcome: 'created' | 'configured' | 'unchanged';
}

/**
 * Makes each object as it is given: created when absent, else merged into what is there (fields that are not named stay). In order; a
 * namespace stands before what lies in it.
 */
export async function applyObjects(client: Client, objects: readonly KubeObject[]): Promise<Applied[]> {
  const applied: Applied[] = [];
  for (const object of objects) {
    const kind = kindOfObject(object);
    const { group, singular } = kind.resource;
    const name = `${singular}${group ? `.${group}` : ''}/${object.metadata.name}`;
    const key = { name: object.metadata.name, namespace: object.metadata.namespace };
    const present = await client.get(kind, key);
    if (!present) await client.create(kind, object);
    const after = present ? await client.patch(kind, key, object, { type: 'strategic' }) : undefined;
    const isSame = after?.metadata.resourceVersion === present?.metadata.resourceVersion;
    applied.push({ name, outcome: !present ? 'created' : isSame ? 'unchanged' : 'configured' });
  }
  return applied;
}

function kindOfObject({ apiVersion, kind, metadata }: KubeObject): Kind {
  const found = kindOf(apiVersion, kind);
  if (!found) throw new UmiakError('NotFound', `${metadata?.name}: there is no kind ${kind} in ${apiVersion}`);
  return found;
}
