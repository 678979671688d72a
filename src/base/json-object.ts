/** A JSON object: no list, not null. */
export type JsonObject = Record<string, unknown>;

/** A deep copy of a JSON value; several times faster than `structuredClone`. */
export function copyJson<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(copyJson) as T;
  const copy: JsonObject = {};
  for (const key in value) setOwn(copy, key, copyJson(value[key]));
  return copy as T;
}

/** Sets a key that comes from outside: `__proto__` is one like any other. */
export function setOwn(object: JsonObject, key: string, value: unknown): void {
  if (key === '__proto__') Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  else object[key] = value;
}

/** True for a JSON object: what `{}` writes, not `[]` and not `null`. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
