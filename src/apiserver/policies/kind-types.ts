import { BOOL, BYTES, type CelField, type CelType, DOUBLE, DYN, escapeField, INT, listOf, mapOf, STRING, TIMESTAMP } from '#cel/index.ts';
import type { Kind } from '#kinds/kind.ts';
import { type Field, fieldsOf, rootTypeOf, schemaData } from '#kinds/schema-data.ts';

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;
const byRef = new Map<string, CelType>();
const byKind = new WeakMap<Kind, CelType>();

/** The type of a kind's objects, by the schema that clients are held to; `dyn` where it says nothing. */
export function typeOfKind(kind: Kind): CelType {
  const known = byKind.get(kind);
  if (known) return known;
  const fields = rootTypeOf(kind)?.fields;
  const type = fields ? objectType(kind.type, fields) : DYN;
  byKind.set(kind, type);
  return type;
}

function objectType(name: string, fields: Readonly<Record<string, Field>>): CelType {
  const typed = new Map<string, CelField>();
  for (const [property, field] of Object.entries(fields)) {
    const member = { property, type: typeOfField(field, `${name}.${property}`) };
    const escaped = escapeField(property);
    if (escaped !== undefined) typed.set(escaped, member);
    // Expressions over untyped objects write reserved words as they are: `object.metadata.namespace`.
    if (IDENTIFIER.test(property)) typed.set(property, member);
  }
  return { kind: 'object', name, fields: typed };
}

function typeOfField(field: Field, name: string): CelType {
  const { type, format, ref, items, values } = field;
  if (type === 'array') return listOf(items ? typeOfField(items, `${name}.@items`) : DYN);
  if (type === 'map') return mapOf(STRING, values ? typeOfField(values, `${name}.@values`) : DYN);
  if (ref) return typeOfRef(ref);
  const fields = fieldsOf(field);
  return fields ? objectType(name, fields) : scalarType(type, format);
}

/** A type that holds itself is `dyn` from the second time on. */
function typeOfRef(ref: string): CelType {
  const known = byRef.get(ref);
  if (known) return known;
  byRef.set(ref, DYN);
  const { fields, type, format } = schemaData().types[ref] ?? {};
  const made = fields ? objectType(ref, fields) : scalarType(type, format);
  byRef.set(ref, made);
  return made;
}

function scalarType(type: string | undefined, format: string | undefined): CelType {
  switch (type) {
    case 'string':
      return format === 'date-time' ? TIMESTAMP : format === 'byte' ? BYTES : format === 'int-or-string' ? DYN : STRING;
    case 'integer':
      return INT;
    case 'number':
      return DOUBLE;
    case 'boolean':
      return BOOL;
    default:
      return DYN;
  }
}
