import { isObject } from '#base/json-object.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { compare } from './compare.ts';
import { difference, type FieldSet, union } from './field-set.ts';
import { leavesOf } from './leaves.ts';
import type { Shape } from './shape.ts';

/** Where `kubectl apply` of the client's side keeps what it applied. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** The fields that client-side apply set and nobody changed since; undefined when there was none in this version. */
export function fieldsOfLastApplied(shape: Shape, live: KubeObject, apiVersion: string): FieldSet | undefined {
  const text = live.metadata.annotations?.[LAST_APPLIED];
  if (!text) return undefined;
  let applied: unknown;
  try {
    applied = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(applied) || applied.apiVersion !== apiVersion) return undefined;
  const { changed, removed } = compare(shape, applied, live);
  return difference(leavesOf(shape, applied), union(changed, removed));
}

/** Keeps the annotation of client-side apply right where there is one, for those who go back. Changes `object`. */
export function updateLastApplied(object: KubeObject, config: KubeObject): void {
  const { annotations } = object.metadata;
  if (!annotations?.[LAST_APPLIED]) return;
  const { [LAST_APPLIED]: _last, ...rest } = config.metadata.annotations ?? {};
  const { annotations: _annotations, ...metadata } = config.metadata;
  const applied = { ...config, metadata: Object.keys(rest).length > 0 ? { ...metadata, annotations: rest } : metadata };
  annotations[LAST_APPLIED] = `${JSON.stringify(applied)}\n`;
}
