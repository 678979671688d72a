/** A JSON object: no list, not null. */
export type JsonObject = Record<string, unknown>;

/** True for a JSON object: what `{}` writes, not `[]` and not `null`. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
