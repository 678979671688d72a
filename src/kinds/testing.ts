import type { FieldCause } from '#base/errors.ts';
import type { Kind, KubeObject } from './kind.ts';
import { checkObject } from './schema.ts';
import { validateCreate, validateUpdate } from './validate-object.ts';

/** An object as the server holds it after a client sent `draft`: checked, defaulted, prepared. For tests. */
export function made<T extends KubeObject>(kind: Kind<T>, draft: unknown): T {
  return makeAndCheck(kind, draft).object;
}

/** What a client that sends `draft` is told, one line a field. For tests. */
export function problemsOf<T extends KubeObject>(kind: Kind<T>, draft: unknown): string[] {
  const { object, missing } = makeAndCheck(kind, draft);
  return lines(validateCreate(kind, object, missing));
}

/** What a client that replaces `old` by `draft` is told. For tests. */
export function updateProblemsOf<T extends KubeObject>(kind: Kind<T>, draft: unknown, old: unknown): string[] {
  const before = made(kind, structuredClone(old));
  const { object, missing } = checkObject(kind, structuredClone(draft));
  kind.defaults?.(object);
  kind.prepareForUpdate?.(object, before);
  return lines(validateUpdate(kind, object, before, missing));
}

function makeAndCheck<T extends KubeObject>(kind: Kind<T>, draft: unknown): { object: T; missing: FieldCause[] } {
  const { object, missing } = checkObject(kind, structuredClone(draft));
  object.metadata.name ??= 'a';
  if (kind.resource.namespaced) object.metadata.namespace ??= 'default';
  kind.defaults?.(object);
  kind.prepareForCreate?.(object);
  return { object, missing };
}

function lines(causes: FieldCause[]): string[] {
  return causes.map(({ field, message }) => `${field}: ${message}`);
}
