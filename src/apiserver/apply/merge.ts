import { isObject, setOwn } from '#base/json-object.ts';
import { itemsOf } from './compare.ts';
import { type FieldSet, isMember } from './field-set.ts';
import { fieldElement, keyElement, valueElement } from './path-element.ts';
import { FREE, type Shape } from './shape.ts';

type Json = Record<string, unknown>;

/** `live` with what `config` says put over it. Shares parts with both. Nothing is removed: that is what `removeItems` is for. */
export function merge(shape: Shape, live: unknown, config: unknown): unknown {
  if (config === undefined) return live;
  if (live === undefined || shape.is === 'leaf') return config;
  if (shape.is === 'list' || shape.is === 'set')
    return Array.isArray(live) && Array.isArray(config) ? mergeLists(shape, live, config) : config;
  if (!isObject(live) || !isObject(config)) return config;
  const merged: Json = { ...live };
  for (const name of Object.keys(config)) {
    const inner = shape.is === 'map' ? shape.values : shape.is === 'struct' ? (shape.field(name)?.shape ?? FREE) : FREE;
    setOwn(merged, name, merge(inner, Object.hasOwn(live, name) ? live[name] : undefined, config[name]));
  }
  return merged;
}

/** Items of both: those in `config` in its order, the others where they stand. */
function mergeLists(shape: Shape & { is: 'list' | 'set' }, live: unknown[], config: unknown[]): unknown[] {
  const wanted = itemsOf(shape, config);
  if (!wanted) return config;
  const present = new Map<string, unknown>();
  const order = live.map(item => {
    const element = (shape.is === 'list' ? keyElement(item, shape.keys) : valueElement(item)) ?? '';
    if (!present.has(element)) present.set(element, item);
    return { element, item };
  });
  const rest = [...wanted.keys()];
  const shared = rest.filter(element => present.has(element));
  const merged: unknown[] = [];
  const emit = (element: string) =>
    merged.push(shape.is === 'list' ? merge(shape.items, present.get(element), wanted.get(element)) : wanted.get(element));
  for (const { element, item } of order) {
    if (!wanted.has(element)) merged.push(item);
    else if (element === shared[0]) {
      for (let next = rest.shift(); next !== undefined; next = rest.shift()) {
        emit(next);
        if (next === element) break;
      }
      shared.shift();
    }
  }
  for (const element of rest) emit(element);
  return merged;
}

/** `value` without the fields and items that `items` holds; undefined when nothing stays of it. */
export function removeItems(shape: Shape, value: unknown, items: FieldSet): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (shape.is === 'leaf') return undefined;
  if (Array.isArray(value)) {
    if (shape.is !== 'list' && shape.is !== 'set') return undefined;
    const kept = value.flatMap(item => {
      const element = shape.is === 'list' ? keyElement(item, shape.keys) : valueElement(item);
      const node = element === undefined ? undefined : items[element];
      if (node === undefined) return [item];
      if (isMember(node)) return [];
      return [shape.is === 'list' ? removeItems(shape.items, item, node) : item];
    });
    return kept.length > 0 ? kept : undefined;
  }
  const kept: Json = {};
  for (const [name, inner] of Object.entries(value)) {
    const node = items[fieldElement(name)];
    if (node !== undefined && isMember(node)) continue;
    const innerShape = shape.is === 'map' ? shape.values : shape.is === 'struct' ? (shape.field(name)?.shape ?? FREE) : FREE;
    const left = node === undefined ? inner : removeItems(innerShape, inner, node);
    if (left !== undefined) setOwn(kept, name, left);
  }
  return Object.keys(kept).length > 0 ? kept : undefined;
}
