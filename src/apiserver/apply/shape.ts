import type { Kind } from '#kinds/kind.ts';
import { type Field, fieldsOf, rootTypeOf, schemaData, type TypeData } from '#kinds/schema-data.ts';
import { isStatusAlone } from '../subresources.ts';
import { fieldElement, type ListKey } from './path-element.ts';

/** How ownership looks at a value: as one piece (`leaf`), by the schema's fields (`struct`), by its keys (`map`), by items (`list`, `set`), or by what it turns out to be (`free`). */
export type Shape = Leaf | Free | Struct | MapShape | List | SetShape;

interface Leaf {
  readonly is: 'leaf';
}
/** Free-form JSON: objects by their keys, everything else as one piece. */
interface Free {
  readonly is: 'free';
}
interface MapShape {
  readonly is: 'map';
  readonly values: Shape;
}
interface SetShape {
  readonly is: 'set';
}
export interface List {
  readonly is: 'list';
  /** By name. */
  readonly keys: readonly ListKey[];
  readonly items: Shape;
}
export interface Struct {
  readonly is: 'struct';
  /** May have fields that the schema doesn't know. */
  readonly isOpen: boolean;
  /** Undefined for a name the schema doesn't know, null for a field that nobody owns. */
  field(name: string): Member | null | undefined;
}
export interface Member {
  /** `f:name`. */
  readonly element: string;
  readonly shape: Shape;
  /** Always there in upstream's objects, if need be empty: it is never added itself, only what is in it. */
  readonly isAlwaysThere: boolean;
}

export const LEAF: Leaf = { is: 'leaf' };
export const FREE: Free = { is: 'free' };
const SET: SetShape = { is: 'set' };

/** What the server alone writes, and what names the object: nobody's. */
const UNOWNED_METADATA = new Set([
  'name',
  'namespace',
  'creationTimestamp',
  'selfLink',
  'uid',
  'clusterName',
  'generation',
  'managedFields',
  'resourceVersion',
]);
/** Structs that upstream's types hold by value although the schema does not require them. */
const HELD_BY_VALUE = new Set(['metadata', 'spec', 'status', 'strategy', 'updateStrategy']);
/** Free-form, but one piece. */
const RAW = 'io.k8s.apimachinery.pkg.runtime.RawExtension';
/** What a status may bring besides. */
const LABELS: ReadonlySet<string> = new Set(['labels', 'annotations']);

const roots = new WeakMap<Kind, Map<string, Shape>>();

/** The shape of what a write through `subresource` (empty: the object itself) may own of an object of the kind. */
export function rootShapeOf(kind: Kind, subresource: string): Shape {
  let known = roots.get(kind);
  if (!known) {
    known = new Map();
    roots.set(kind, known);
  }
  let shape = known.get(subresource);
  if (!shape) {
    shape = compileRoot(kind, subresource);
    known.set(subresource, shape);
  }
  return shape;
}

function compileRoot(kind: Kind, subresource: string): Shape {
  const type = rootTypeOf(kind);
  if (!type?.fields) return FREE;
  const isStatus = subresource === 'status' || subresource === 'approval';
  const metadata = isStatus
    ? (subresource === 'approval' || !isStatusAlone(kind)) && LABELS
    : { has: (name: string) => !UNOWNED_METADATA.has(name) };
  const hasStatus = kind.resource.subresources?.some(({ name }) => name === 'status') ?? false;
  const isOwned = (name: string) => (isStatus ? name === 'status' : !(name === 'status' && hasStatus));
  const isTyped = kind.schema === undefined;
  const whole = structOf(type, isTyped);
  return {
    is: 'struct',
    isOpen: whole.isOpen,
    field(name) {
      if (name === 'apiVersion' || name === 'kind') return null;
      if (name !== 'metadata') return isOwned(name) ? whole.field(name) : null;
      const member = metadata && whole.field(name);
      if (!member) return null;
      const { shape } = member;
      return shape.is === 'struct' ? { ...member, isAlwaysThere: true, shape: only(shape, metadata) } : null;
    },
  };
}

function only(struct: Struct, names: { has(name: string): boolean }): Struct {
  return { ...struct, field: name => (names.has(name) ? struct.field(name) : null) };
}

const byName = new Map<string, Shape>();

function shapeOf(field: Field, isTyped: boolean): Shape {
  if (field['map-type'] === 'atomic') return LEAF;
  const fields = fieldsOf(field);
  if (fields) {
    if (!field.ref) return structOf({ ...field, fields } as TypeData, isTyped);
    const type = schemaData().types[field.ref]!;
    if (type['map-type'] === 'atomic' && field['map-type'] !== 'granular') return LEAF;
    const shape = byName.get(field.ref) ?? structOf(type, true);
    byName.set(field.ref, shape);
    return shape;
  }
  if (field.ref) {
    const { type } = schemaData().types[field.ref] ?? {};
    return field.ref === RAW || type === 'string' || type === 'int-or-string' ? LEAF : FREE;
  }
  switch (field.type) {
    case 'array':
      return listOf(field, isTyped);
    case 'map':
      return { is: 'map', values: shapeOf(field.values ?? {}, isTyped) };
    case 'object':
    case undefined:
      return field.values ? { is: 'map', values: shapeOf(field.values, isTyped) } : FREE;
    default:
      return LEAF;
  }
}

function listOf(field: Field, isTyped: boolean): Shape {
  if (field['list-type'] === 'set') return SET;
  const names = field['list-map-keys'];
  if (field['list-type'] !== 'map' || !names?.length) return LEAF;
  const items = field.items ?? {};
  const fields = fieldsOf(items) ?? {};
  const keys = [...names].sort().map(name => ({ name, preset: fields[name]?.default }));
  return { is: 'list', keys, items: shapeOf(items, isTyped) };
}

/** Members are made when first asked for: most fields of most kinds are never used, and types may hold themselves. */
function structOf(type: TypeData, isTyped: boolean): Struct {
  const { fields = {}, required = [] } = type;
  const members = new Map<string, Member | undefined>();
  return {
    is: 'struct',
    isOpen: type['x-kubernetes-preserve-unknown-fields'] === true,
    field(name) {
      let member = members.get(name);
      if (member === undefined && !members.has(name)) {
        const field = Object.hasOwn(fields, name) ? fields[name]! : undefined;
        if (field) {
          const isAlwaysThere = isTyped && (required.includes(name) || (HELD_BY_VALUE.has(name) && fieldsOf(field) !== undefined));
          member = { element: fieldElement(name), shape: shapeOf(field, isTyped), isAlwaysThere };
          members.set(name, member);
        }
      }
      return member;
    },
  };
}
