import { isObject } from '#base/json-object.ts';
import { itemsOf } from './compare.ts';
import { asMember, type FieldSet, isEmpty } from './field-set.ts';
import { fieldElement, keyElement, pathText, valueElement } from './path-element.ts';
import { FREE, type Shape } from './shape.ts';

/** The paths that a configuration names: its leaves, the items of its lists and the keys of its maps; structs only when they are empty. */
export function leavesOf(shape: Shape, config: object): FieldSet {
  return below(shape, config) ?? {};
}

function below(shape: Shape, value: unknown): FieldSet | undefined {
  if (typeof value !== 'object' || value === null || shape.is === 'leaf') return {};
  if (Array.isArray(value)) {
    if (shape.is !== 'list' && shape.is !== 'set') return {};
    const items = itemsOf(shape, value);
    if (!items) return {};
    const node: FieldSet = {};
    for (const [element, item] of items) node[element] = shape.is === 'list' ? asMember(below(shape.items, item) ?? {}) : {};
    return isEmpty(node) ? undefined : node;
  }
  const node: FieldSet = {};
  for (const [name, inner] of Object.entries(value)) {
    const member = shape.is === 'struct' ? shape.field(name) : undefined;
    if (member === null) continue;
    const element = member?.element ?? fieldElement(name);
    const leaves = below(member?.shape ?? (shape.is === 'map' ? shape.values : FREE), inner);
    if (member) {
      if (leaves) node[element] = leaves;
      else if (isObject(inner) && isEmpty(inner as FieldSet)) node[element] = {};
    } else node[element] = asMember(leaves ?? {});
  }
  return isEmpty(node) ? undefined : node;
}

/** The set with the structs on the way to its paths as members of their own: who owns `a.b.c` holds `a`, if `a` is a field of the schema. */
export function withStructs(shape: Shape, set: FieldSet): FieldSet {
  const result: FieldSet = {};
  for (const element in set) {
    const node = set[element]!;
    if (element === '.') {
      result[element] = node;
      continue;
    }
    const { inner, isField } = step(shape, element);
    const deeper = withStructs(inner, node);
    result[element] = isField ? asMember(deeper) : deeper;
  }
  return result;
}

function step(shape: Shape, element: string): { inner: Shape; isField: boolean } {
  if (element.startsWith('f:')) {
    if (shape.is === 'map') return { inner: shape.values, isField: false };
    const member = shape.is === 'struct' ? shape.field(element.slice(2)) : undefined;
    return { inner: member?.shape ?? FREE, isField: Boolean(member) };
  }
  return { inner: shape.is === 'list' ? shape.items : FREE, isField: false };
}

/** What of a configuration does not fit its schema, in upstream's words: unknown fields, wrong types, items that can't be told apart. */
export function problemsOf(shape: Shape, value: unknown, path: string[] = [], problems: string[] = []): string[] {
  const say = (what: string) => problems.push(`${pathText(path)}: ${what}`);
  if (value === null || shape.is === 'leaf' || shape.is === 'free') return problems;
  const at = (element: string, inner: Shape, child: unknown) => {
    path.push(element);
    problemsOf(inner, child, path, problems);
    path.pop();
  };
  if (shape.is === 'struct' || shape.is === 'map') {
    if (!isObject(value)) {
      say(`expected map, got ${describe(value)}`);
      return problems;
    }
    for (const [name, inner] of Object.entries(value)) {
      const member = shape.is === 'struct' ? shape.field(name) : undefined;
      const isUnknown = shape.is === 'struct' && member === undefined;
      if (isUnknown && !shape.isOpen) problems.push(`${pathText([...path, fieldElement(name)])}: field not declared in schema`);
      else if (member !== null) at(fieldElement(name), member?.shape ?? (shape.is === 'map' ? shape.values : FREE), inner);
    }
    return problems;
  }
  if (!Array.isArray(value)) {
    say(`expected list, got ${describe(value)}`);
    return problems;
  }
  const seen = new Set<string>();
  for (const [index, item] of value.entries()) {
    const element = shape.is === 'list' ? keyElement(item, shape.keys) : valueElement(item);
    if (element === undefined) say(`element ${index}: ${misfit(shape, item)}`);
    else if (seen.has(element)) say(`duplicate entries for key ${pathText([element])}`);
    else if (shape.is === 'list') at(element, shape.items, item);
    if (element !== undefined) seen.add(element);
  }
  return problems;
}

function misfit(shape: Shape, item: unknown): string {
  if (shape.is !== 'list') return `a set can't hold ${describe(item)}`;
  if (!isObject(item)) return 'associative list with keys may not have non-map elements';
  const names = shape.keys.map(({ name }) => JSON.stringify(name)).join(' ');
  return `associative list with keys has an element that omits all key fields [${names}] (and doesn't have default values for any key fields)`;
}

function describe(value: unknown): string {
  return Array.isArray(value)
    ? 'a list'
    : value === null
      ? 'null'
      : typeof value === 'object'
        ? 'a map'
        : JSON.stringify(value)?.slice(0, 100);
}
