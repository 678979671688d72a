import { readFileSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import type { Kind, Resource } from './kind.ts';

/** A field of a type, or what a list or map holds. */
export interface Field {
  type?: 'string' | 'integer' | 'number' | 'boolean' | 'array' | 'map' | 'object' | 'int-or-string';
  format?: 'int32' | 'int64' | 'double' | 'byte' | 'date-time' | 'int-or-string';
  /** Full name of the type it has. */
  ref?: string;
  items?: Field;
  values?: Field;
  /** Of an object whose type has no name: custom resources nest them. */
  fields?: Record<string, Field>;
  default?: unknown;
  'list-type'?: 'atomic' | 'map' | 'set';
  'list-map-keys'?: string[];
  'map-type'?: 'atomic' | 'granular';
  /** Of an object with `fields`: it may have others. */
  'x-kubernetes-preserve-unknown-fields'?: boolean;
  'patch-merge-key'?: string;
  'patch-strategy'?: string;
}

/** A type of the schema; without `fields` it is a scalar or free-form JSON. */
export interface TypeData {
  fields?: Record<string, Field>;
  required?: string[];
  /** `apps/v1/Deployment`, `v1/Pod`. */
  gvk?: string[];
  type?: 'string' | 'object' | 'int-or-string';
  format?: string;
  'map-type'?: 'atomic' | 'granular';
  'x-kubernetes-preserve-unknown-fields'?: boolean;
}

export interface SchemaData {
  resources: Resource[];
  types: Record<string, TypeData>;
}

let data: SchemaData | undefined;
let resources: Map<string, Resource> | undefined;
let typesByGvk: Map<string, string> | undefined;

/** The generated facts of the API, read at first use. A bundle must have `schema.gen.json` beside it. */
export function schemaData(): SchemaData {
  data ??= JSON.parse(readFileSync(new URL('./schema.gen.json', import.meta.url), 'utf8')) as SchemaData;
  return data;
}

/** The served resource of `apps/v1/Deployment` or `v1/Pod`. @throws `InternalError` when the schema has none */
export function resourceOf(gvk: string): Resource {
  resources ??= new Map(schemaData().resources.map(row => [`${row.group ? `${row.group}/` : ''}${row.version}/${row.kind}`, row]));
  const found = resources.get(gvk);
  if (!found) throw new UmiakError('InternalError', `the schema has no resource ${gvk}`);
  return found;
}

/** The full name of the type of `apps/v1/Deployment`; undefined when there is none. Kinds of subresources (`autoscaling/v1/Scale`) have one too. */
export function typeNameOf(gvk: string): string | undefined {
  if (!typesByGvk) {
    typesByGvk = new Map();
    for (const [name, type] of Object.entries(schemaData().types)) {
      for (const one of type.gvk ?? []) if (!typesByGvk.has(one)) typesByGvk.set(one, name);
    }
  }
  return typesByGvk.get(gvk);
}

/** The type of a whole object: the kind's own (custom resources bring theirs), or the generated schema's. */
export function rootTypeOf(kind: Kind): TypeData | undefined {
  return kind.schema ?? schemaData().types[kind.type];
}

/** The fields of what a field holds, named type or not; undefined for scalars, lists, maps and free-form JSON. */
export function fieldsOf({ ref, fields }: Field): Record<string, Field> | undefined {
  return fields ?? (ref ? schemaData().types[ref]?.fields : undefined);
}
