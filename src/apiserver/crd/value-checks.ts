import type { FieldCause } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import { invalid, notSupported, tooLong, tooMany } from '#kinds/field-errors.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import { formatPath } from '#kinds/schema.ts';
import { expressions } from './expressions.ts';
import { fieldAt, type Path } from './field-path.ts';
import { formatCheckOf } from './formats.ts';

/** Looks at one value and adds what is wrong with it. */
export type Check = (value: unknown, path: Path, causes: FieldCause[]) => void;

/** Refuses values of another type; undefined where any will do. */
export function typeCheckOf(schema: CrdSchema): Check | undefined {
  const wanted = schema['x-kubernetes-int-or-string'] ? ['integer', 'string'] : schema.type ? [schema.type] : [];
  if (wanted.length === 0) return undefined;
  return (value, path, causes) => {
    const found = typeOf(value);
    if (wanted.includes(found) || (found === 'integer' && wanted.includes('number'))) return;
    causes.push(wrongType(path, found, wanted.join(','), found));
  };
}

/** What JSON Schema calls a value's type. */
function typeOf(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function wrongType(path: Path, value: unknown, type: string, shown: unknown): FieldCause {
  const why = `${formatPath(path)} in body must be of type ${type}: ${JSON.stringify(shown)}`;
  return { ...invalid(fieldAt(path), value, why), reason: 'FieldValueTypeInvalid' };
}

function wrong(path: Path, value: unknown, why: string): FieldCause {
  return invalid(fieldAt(path), value, `${formatPath(path)} in body ${why}`);
}

/** The checks that a schema's keywords ask for, but for types, properties and items. */
export function checksOf(schema: CrdSchema): Check[] {
  return [...numberChecks(schema), ...stringChecks(schema), ...sizeChecks(schema), ...enumChecks(schema)];
}

function* enumChecks({ enum: allowed }: CrdSchema): Generator<Check> {
  if (!allowed?.length) return;
  const scalars = new Set(allowed);
  const names = allowed.map(one => (typeof one === 'string' ? one : JSON.stringify(one)));
  yield (value, path, causes) => {
    if (scalars.has(value) || allowed.some(one => typeof one === 'object' && jsonEqual(one, value))) return;
    causes.push(notSupported(fieldAt(path), value, names));
  };
}

function* numberChecks({ minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf }: CrdSchema): Generator<Check> {
  const check = (isRight: (value: number) => boolean, why: string): Check => {
    return (value, path, causes) => void (typeof value === 'number' && !isRight(value) && causes.push(wrong(path, value, why)));
  };
  if (minimum !== undefined)
    yield exclusiveMinimum
      ? check(value => value > minimum, `should be greater than ${minimum}`)
      : check(value => value >= minimum, `should be greater than or equal to ${minimum}`);
  if (maximum !== undefined)
    yield exclusiveMaximum
      ? check(value => value < maximum, `should be less than ${maximum}`)
      : check(value => value <= maximum, `should be less than or equal to ${maximum}`);
  if (multipleOf !== undefined && multipleOf > 0)
    yield check(value => Number.isInteger(Number((value / multipleOf).toPrecision(15))), `should be a multiple of ${multipleOf}`);
}

function* stringChecks({ minLength, maxLength, pattern, format }: CrdSchema): Generator<Check> {
  if (minLength !== undefined)
    yield (value, path, causes) => {
      if (typeof value === 'string' && lengthOf(value) < minLength)
        causes.push(wrong(path, value, `should be at least ${minLength} chars long`));
    };
  if (maxLength !== undefined)
    yield (value, path, causes) => {
      if (typeof value === 'string' && value.length > maxLength && lengthOf(value) > maxLength)
        causes.push(tooLong(fieldAt(path), maxLength));
    };
  if (pattern !== undefined && pattern !== '')
    yield (value, path, causes) => {
      if (typeof value !== 'string') return;
      const matches = expressions().matchesPattern(value, pattern);
      if (matches === undefined) causes.push(wrong(path, value, `should match '${pattern}', which would take too long to find out`));
      else if (!matches) causes.push(wrong(path, value, `should match '${pattern}'`));
    };
  const isFormat = format && formatCheckOf(format);
  if (isFormat)
    yield (value, path, causes) => {
      if (typeof value === 'string' && !isFormat(value)) causes.push(wrongType(path, value, format, value));
    };
}

/** In characters, not in UTF-16 units. */
function lengthOf(text: string): number {
  let length = 0;
  for (const _character of text) length++;
  return length;
}

function* sizeChecks({ minItems, maxItems, uniqueItems, minProperties, maxProperties }: CrdSchema): Generator<Check> {
  const list = (check: (value: unknown[], path: Path, causes: FieldCause[]) => void): Check => {
    return (value, path, causes) => void (Array.isArray(value) && check(value, path, causes));
  };
  const object = (check: (size: number, value: object, path: Path, causes: FieldCause[]) => void): Check => {
    return (value, path, causes) => {
      if (isObject(value)) check(Object.keys(value).length, value, path, causes);
    };
  };
  if (minItems !== undefined)
    yield list((value, path, causes) => {
      if (value.length < minItems) causes.push(wrong(path, value.length, `should have at least ${minItems} items`));
    });
  if (maxItems !== undefined)
    yield list((value, path, causes) => {
      if (value.length > maxItems) causes.push(tooMany(fieldAt(path), value.length, maxItems));
    });
  if (uniqueItems)
    yield list((value, path, causes) => {
      if (value.some((item, i) => value.findIndex(other => jsonEqual(item, other)) < i))
        causes.push(wrong(path, '', "shouldn't contain duplicates"));
    });
  if (minProperties !== undefined)
    yield object((size, value, path, causes) => {
      if (size < minProperties) causes.push(wrong(path, value, `should have at least ${minProperties} properties`));
    });
  if (maxProperties !== undefined)
    yield object((size, _value, path, causes) => {
      if (size > maxProperties) causes.push(tooMany(fieldAt(path), size, maxProperties));
    });
}
