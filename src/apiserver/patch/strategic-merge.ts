import { isObject, setOwn } from '#base/json-object.ts';
import { fieldOf, mergeInfo, typeOfField } from '#kinds/schema.ts';
import { badRequest } from '../status.ts';

type Json = Record<string, unknown>;

const DIRECTIVE = '$patch';
const RETAIN_KEYS = '$retainKeys';
const DELETE_FROM = '$deleteFromPrimitiveList/';
const ELEMENT_ORDER = '$setElementOrder/';

/**
 * Applies a strategic merge patch to an object of the schema's type, which it changes; gives the result. Lists of objects merge by their merge key, lists
 * of scalars as sets, where the schema says so; else lists are replaced. Directives: `$patch` (`merge`, `replace`, `delete`), `$retainKeys`,
 * `$setElementOrder/x`, `$deleteFromPrimitiveList/x`. @throws `BadRequest`
 */
export function applyStrategicMergePatch(type: string | undefined, current: unknown, patch: unknown): unknown {
  return mergeObject(isObject(current) ? current : {}, patch as Json, type);
}

function mergeObject(target: Json, patch: Json, type: string | undefined): Json {
  const directive = patch[DIRECTIVE];
  if (directive === 'replace') return withoutDirectives({ ...patch, [DIRECTIVE]: undefined }, type) as Json;
  if (directive === 'delete') return {};
  if (directive !== undefined && directive !== 'merge') throw badRequest(`unknown patch type: ${JSON.stringify(directive)}`);
  if (RETAIN_KEYS in patch) retain(target, patch);

  for (const [key, value] of Object.entries(patch)) {
    if (key === DIRECTIVE || key === RETAIN_KEYS || key.startsWith(ELEMENT_ORDER)) continue;
    if (key.startsWith(DELETE_FROM)) {
      removeScalars(target, key.slice(DELETE_FROM.length), value);
      continue;
    }
    if (value === null) delete target[key];
    else setOwn(target, key, mergeField(Object.hasOwn(target, key) ? target[key] : undefined, value, type, key));
  }
  for (const [key, order] of Object.entries(patch)) {
    if (key.startsWith(ELEMENT_ORDER)) reorder(target, key.slice(ELEMENT_ORDER.length), order, patch, type);
  }
  return target;
}

function mergeField(present: unknown, value: unknown, type: string | undefined, key: string): unknown {
  const field = type === undefined ? undefined : fieldOf(type, key);
  const inner = field && typeOfField(field);
  const { strategy, mergeKey } = type === undefined ? { strategy: 'merge' as const, mergeKey: undefined } : mergeInfo(type, key);
  if (isObject(value)) {
    // A map's values may be objects of their own type; its keys are nobody's fields.
    const valueType = field?.type === 'map' ? undefined : inner;
    if (strategy === 'replace' && value[DIRECTIVE] === undefined) return withoutDirectives(value, valueType);
    return mergeObject(isObject(present) ? present : {}, value, valueType);
  }
  if (!Array.isArray(value)) return value;
  if (type === undefined || field === undefined || strategy === 'replace') return withoutDirectives(value, inner);
  const list = Array.isArray(present) ? present : [];
  if (mergeKey === undefined) return mergeScalars(list, value);
  return mergeList(list, value, mergeKey, inner);
}

function mergeScalars(present: unknown[], added: unknown[]): unknown[] {
  const result = [...present];
  for (const value of added) if (!result.includes(value)) result.push(value);
  return patchedFirst(result, present, added);
}

function mergeList(present: unknown[], patch: unknown[], mergeKey: string, type: string | undefined): unknown[] {
  const isReplace = (item: unknown) => isObject(item) && item[DIRECTIVE] === 'replace' && !(mergeKey in item);
  if (patch.some(isReplace)) return patch.filter(item => !isReplace(item)).map(item => withoutDirectives(item, type));
  let result = [...present];
  for (const item of patch) {
    if (!isObject(item)) throw badRequest(`a list that merges by "${mergeKey}" holds objects, not ${JSON.stringify(item)?.slice(0, 100)}`);
    const key = item[mergeKey];
    if (key === undefined || key === null) throw badRequest(`an element of the patch does not contain declared merge key: ${mergeKey}`);
    if (item[DIRECTIVE] === 'delete') {
      result = result.filter(other => keyOf(other, mergeKey) !== key);
      continue;
    }
    const at = result.findIndex(other => keyOf(other, mergeKey) === key);
    if (at < 0) result.push(mergeObject({}, item, type));
    else result[at] = mergeObject(result[at] as Json, item, type);
  }
  const keysOf = (list: readonly unknown[]) => list.map(item => keyOf(item, mergeKey));
  return patchedFirst(result, keysOf(present), keysOf(patch), item => keyOf(item, mergeKey));
}

/**
 * The order upstream gives a merged list: what the patch names comes as the patch has it, what only the server knows in the server's order,
 * and before an element of the patch only what stood before it on the server: new elements come first.
 */
function patchedFirst(
  merged: readonly unknown[],
  present: readonly unknown[],
  patch: readonly unknown[],
  identity = (item: unknown) => item,
): unknown[] {
  if (patch.length === 0) return [...merged];
  const byIdentity = new Map(merged.map(item => [identity(item), item]));
  const place = new Map(present.map((key, i) => [key, i]));
  const named = new Set(patch.filter(key => byIdentity.has(key)));
  const others = merged.filter(item => !named.has(identity(item)));
  const result: unknown[] = [];
  let at = 0;
  for (const key of named) {
    const stood = place.get(key) ?? -1;
    while (at < others.length && (place.get(identity(others[at])) ?? 0) < stood) result.push(others[at++]);
    result.push(byIdentity.get(key));
  }
  return [...result, ...others.slice(at)];
}

/** Clears what `$retainKeys` does not name. */
function retain(target: Json, patch: Json): void {
  const keys = patch[RETAIN_KEYS];
  if (!Array.isArray(keys) || keys.some(key => typeof key !== 'string')) throw badRequest('$retainKeys must be a list of field names');
  const kept = new Set(keys as string[]);
  for (const key of Object.keys(patch)) {
    if (!key.startsWith('$') && patch[key] !== null && !kept.has(key))
      throw badRequest(`$retainKeys does not name "${key}", which the patch sets`);
  }
  for (const key of Object.keys(target)) if (!kept.has(key)) delete target[key];
}

function removeScalars(target: Json, key: string, values: unknown): void {
  if (!Array.isArray(values)) throw badRequest(`${DELETE_FROM}${key} must be a list`);
  const present = target[key];
  if (!Array.isArray(present)) return;
  const left = present.filter(value => !values.includes(value));
  if (left.length > 0) target[key] = left;
  else delete target[key];
}

/** Brings the named elements into the given order; those that only the server knows stay where they stood among them. */
function reorder(target: Json, key: string, order: unknown, patch: Json, type: string | undefined): void {
  if (!Array.isArray(order)) throw badRequest(`${ELEMENT_ORDER}${key} must be a list`);
  const list = target[key];
  if (!Array.isArray(list)) return;
  const mergeKey = type === undefined ? undefined : mergeInfo(type, key).mergeKey;
  const identity = (item: unknown): unknown => (mergeKey === undefined ? item : keyOf(item, mergeKey));
  const wanted = order.map(identity);
  if (wanted.some(item => item === undefined))
    throw badRequest(`an element of ${ELEMENT_ORDER}${key} does not contain declared merge key: ${mergeKey}`);
  const inPatch = patch[key];
  if (Array.isArray(inPatch)) {
    for (const item of inPatch) {
      if (isObject(item) && item[DIRECTIVE] !== undefined) continue;
      if (!wanted.includes(identity(item)))
        throw badRequest(
          `The order in patch list:\n${JSON.stringify(inPatch).slice(0, 200)}\n doesn't match ${ELEMENT_ORDER} list:\n${JSON.stringify(order).slice(0, 200)}\n`,
        );
    }
  }
  const place = new Map(list.map((item, i) => [identity(item), i]));
  const named = wanted.flatMap(each => (place.has(each) ? [list[place.get(each)!]] : []));
  const others = list.filter(item => !wanted.includes(identity(item)));
  const result: unknown[] = [];
  for (const item of named) {
    while (others.length > 0 && place.get(identity(others[0]))! < place.get(identity(item))!) result.push(others.shift());
    result.push(item);
  }
  target[key] = [...result, ...others];
}

/** A value that replaces, or comes new: without nulls and directives. */
function withoutDirectives(value: unknown, type: string | undefined): unknown {
  if (Array.isArray(value))
    return value.filter(item => !(isObject(item) && item[DIRECTIVE] === 'delete')).map(item => withoutDirectives(item, type));
  if (!isObject(value)) return value;
  const clean = Object.entries(value).filter(
    ([key, inner]) => inner !== undefined && inner !== null && !(key.startsWith('$') && isDirective(key)),
  );
  return Object.fromEntries(clean.map(([key, inner]) => [key, withoutDirectives(inner, undefined)]));
}

function isDirective(key: string): boolean {
  return key === DIRECTIVE || key === RETAIN_KEYS || key.startsWith(DELETE_FROM) || key.startsWith(ELEMENT_ORDER);
}

function keyOf(item: unknown, mergeKey: string): unknown {
  return isObject(item) ? item[mergeKey] : undefined;
}
