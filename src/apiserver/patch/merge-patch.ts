import { isObject, setOwn } from '#base/json-object.ts';
/** Applies a JSON merge patch (RFC 7386): null removes, objects merge, everything else replaces. Changes `target` and gives the result. */
export function applyMergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result = isObject(target) ? target : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else setOwn(result, key, applyMergePatch(Object.hasOwn(result, key) ? result[key] : undefined, value));
  }
  return result;
}
