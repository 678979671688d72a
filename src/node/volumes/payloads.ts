import { UmiakError } from '#base/index.ts';
import type { ConfigMap } from '#kinds/config-map.ts';
import type { Pod } from '#kinds/pod.ts';
import type { Secret } from '#kinds/secret.ts';
import { fieldValue, type NodeFacts, resourceValue } from '../downward.ts';
import type { PayloadFile } from './atomic-writer.ts';

export type Volume = NonNullable<Pod['spec']['volumes']>[number];

interface KeyToPath {
  key: string;
  path: string;
  mode?: number | undefined;
}

type DownwardItem = NonNullable<NonNullable<Volume['downwardAPI']>['items']>[number];

/** Files of a ConfigMap, all keys or those listed. @throws `NotFound` naming the key that is missing, unless `optional` */
export function configMapFiles(object: ConfigMap | undefined, name: string, options: FileOptions): Map<string, PayloadFile> {
  const data = new Map<string, Buffer>();
  for (const [key, value] of Object.entries(object?.data ?? {})) data.set(key, Buffer.from(value));
  for (const [key, value] of Object.entries(object?.binaryData ?? {})) data.set(key, Buffer.from(value, 'base64'));
  return filesOf('configmap', object ? data : undefined, name, options);
}

/** Files of a Secret, all keys or those listed. */
export function secretFiles(object: Secret | undefined, name: string, options: FileOptions): Map<string, PayloadFile> {
  const data = object && new Map(Object.entries(object.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')]));
  return filesOf('secret', data, name, options);
}

export interface FileOptions {
  items?: readonly KeyToPath[] | undefined;
  optional?: boolean | undefined;
  mode: number;
}

const NON_EXISTENT = { configmap: 'config key', secret: 'secret key' };

function filesOf(
  what: 'configmap' | 'secret',
  data: Map<string, Buffer> | undefined,
  name: string,
  { items, optional, mode }: FileOptions,
): Map<string, PayloadFile> {
  if (!data) {
    if (optional) return new Map();
    throw new UmiakError('NotFound', `${what} "${name}" not found`, {
      details: { kind: `${what}s`, name },
      hint: `Create it, or mark the volume's reference as optional.`,
    });
  }
  if (!items?.length) return new Map([...data].map(([key, content]) => [key, { content, mode }]));
  const files = new Map<string, PayloadFile>();
  for (const item of items) {
    const content = data.get(item.key);
    if (content) files.set(item.path, { content, mode: item.mode ?? mode });
    else if (!optional)
      throw new UmiakError('NotFound', `${what} "${name}" references non-existent ${NON_EXISTENT[what]}: ${item.key}`, {
        details: { kind: `${what}s`, name },
        hint: 'Add the key, or take it out of the items of the volume.',
      });
  }
  return files;
}

/** Files of a downward API volume. */
export function downwardFiles(pod: Pod, items: readonly DownwardItem[], mode: number, facts: NodeFacts): Map<string, PayloadFile> {
  return new Map(
    items.map(({ path, fieldRef, resourceFieldRef, mode: own }) => {
      const value = fieldRef
        ? fieldValue(pod, fieldRef.fieldPath, facts)
        : resourceFieldRef
          ? resourceValue(pod, resourceFieldRef, undefined, facts)
          : '';
      return [path, { content: Buffer.from(value), mode: own ?? mode }];
    }),
  );
}

/**
 * Who may read a token: the pod's user alone, where all its containers run as one, and the pod's `fsGroup` by what the whole volume gives
 * it; without either whoever may read the volume. Pure.
 */
export function tokenAccess({ spec }: Pod, mode: number): Pick<PayloadFile, 'mode' | 'uid'> {
  const { runAsUser, fsGroup } = spec.securityContext ?? {};
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  const users = new Set(containers.map(({ securityContext }) => securityContext?.runAsUser ?? runAsUser));
  const [user] = users;
  if (users.size === 1 && user !== undefined) return { mode: 0o600, uid: user };
  return { mode: fsGroup === undefined ? mode : 0o600 };
}
