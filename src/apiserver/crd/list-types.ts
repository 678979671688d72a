import type { FieldCause } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import { duplicate } from '#kinds/field-errors.ts';
import { fieldAt, type Path } from './field-path.ts';

/** Elements of a set or (with `keys`) of a map that stood before in the same list. */
export function duplicatesIn(list: readonly unknown[], keys: readonly string[] | undefined, path: Path): FieldCause[] {
  const seen = new Set<string>();
  const causes: FieldCause[] = [];
  list.forEach((item, i) => {
    const key = keyOfElement(item, keys);
    if (seen.has(key)) causes.push(duplicate(fieldAt([...path, i]), keys ? keyFields(item, keys) : item));
    seen.add(key);
  });
  return causes;
}

/** What tells an element of a list apart: its keys' values, or (of a set) all of it. */
export function keyOfElement(item: unknown, keys: readonly string[] | undefined): string {
  return JSON.stringify(sorted(keys ? keyFields(item, keys) : item)) ?? 'null';
}

function keyFields(item: unknown, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.flatMap(key => (isObject(item) && item[key] !== undefined ? [[key, item[key]]] : [])));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map(key => [key, sorted(value[key])]),
  );
}
