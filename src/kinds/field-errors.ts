import type { FieldCause } from '#base/errors.ts';

/** `Invalid value: "x": why` */
export function invalid(field: string, value: unknown, why: string): FieldCause {
  return { reason: 'FieldValueInvalid', message: `Invalid value: ${quoted(value)}: ${why}`, field };
}

/** `Required value` or `Required value: why` */
export function required(field: string, why = ''): FieldCause {
  return { reason: 'FieldValueRequired', message: why ? `Required value: ${why}` : 'Required value', field };
}

/** `Unsupported value: "x": supported values: "A", "B"` */
export function notSupported(field: string, value: unknown, supported: readonly string[]): FieldCause {
  const list = supported.map(one => JSON.stringify(one)).join(', ');
  return { reason: 'FieldValueNotSupported', message: `Unsupported value: ${quoted(value)}: supported values: ${list}`, field };
}

/** `Duplicate value: "x"` */
export function duplicate(field: string, value: unknown): FieldCause {
  return { reason: 'FieldValueDuplicate', message: `Duplicate value: ${quoted(value)}`, field };
}

/** `Forbidden: why` */
export function forbidden(field: string, why: string): FieldCause {
  return { reason: 'FieldValueForbidden', message: `Forbidden: ${why}`, field };
}

/** `Too long: may not be more than N bytes` */
export function tooLong(field: string, maxBytes: number): FieldCause {
  return { reason: 'FieldValueTooLong', message: `Too long: may not be more than ${maxBytes} bytes`, field };
}

/** `Too many: N: must have at most M items` */
export function tooMany(field: string, count: number, most: number): FieldCause {
  return { reason: 'FieldValueTooMany', message: `Too many: ${count}: must have at most ${most} items`, field };
}

/** `Not found: "x"` */
export function notFound(field: string, value: unknown): FieldCause {
  return { reason: 'FieldValueNotFound', message: `Not found: ${quoted(value)}`, field };
}

function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? 'null';
  return text.length > 512 ? `${text.slice(0, 512)}…` : text;
}
