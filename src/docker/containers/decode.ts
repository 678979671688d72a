import { UmiakError } from '#base/errors.ts';
import { isObject, type JsonObject, setOwn } from '#base/json-object.ts';

/** What a field of a body may hold. `strings`: a list, or one string for a list of one (Cmd, Entrypoint). `object`: anything, a set's member. */
export type Shape = 'string' | 'boolean' | 'integer' | 'object' | 'strings' | { list: Shape } | { map: Shape } | { fields: Fields };

/** The fields of an object in docker's spelling. */
export type Fields = Readonly<Record<string, Shape>>;

const GO_TYPES = { string: 'string', boolean: 'bool', integer: 'int64', object: 'struct {}', strings: 'strslice.StrSlice' } as const;

/**
 * A body as docker's decoder takes it: field names in any case, unknown ones ignored, `null` like absent. Pure.
 * @throws BadRequest for a value of the wrong type
 */
export function decodeFields(value: unknown, fields: Fields, path: string): JsonObject {
  if (!isObject(value)) throw wrongType(value, path, 'struct');
  const spelling = spellingOf(fields);
  const decoded: JsonObject = {};
  for (const [key, field] of Object.entries(value)) {
    const name = Object.hasOwn(fields, key) ? key : spelling.get(key.toLowerCase());
    const shape = name === undefined ? undefined : fields[name];
    if (name === undefined || shape === undefined || field === null) continue;
    decoded[name] = decode(field, shape, `${path}.${name}`);
  }
  return decoded;
}

const SPELLINGS = new WeakMap<Fields, Map<string, string>>();

function spellingOf(fields: Fields): Map<string, string> {
  const known = SPELLINGS.get(fields) ?? new Map(Object.keys(fields).map(name => [name.toLowerCase(), name]));
  SPELLINGS.set(fields, known);
  return known;
}

function decode(value: unknown, shape: Shape, path: string): unknown {
  if (typeof shape === 'object') {
    if ('fields' in shape) return decodeFields(value, shape.fields, path);
    if ('map' in shape) return decodeMap(value, shape.map, path);
    if (!Array.isArray(value)) throw wrongType(value, path, 'slice');
    return value.map(each => decode(each ?? zeroOf(shape.list), shape.list, path));
  }
  if (shape === 'strings') {
    const list = typeof value === 'string' ? [value] : value;
    if (!Array.isArray(list) || !list.every(each => typeof each === 'string')) throw wrongType(value, path, GO_TYPES.strings);
    return list;
  }
  if (shape === 'object') return {};
  if (shape === 'integer' ? isInt64(value) : typeof value === shape) return value;
  throw wrongType(value, path, GO_TYPES[shape]);
}

function decodeMap(value: unknown, shape: Shape, path: string): JsonObject {
  if (!isObject(value)) throw wrongType(value, path, 'map');
  const decoded: JsonObject = {};
  for (const [key, each] of Object.entries(value)) setOwn(decoded, key, each === null ? zeroOf(shape) : decode(each, shape, path));
  return decoded;
}

function isInt64(value: unknown): boolean {
  return Number.isInteger(value) && Math.abs(value as number) <= 2 ** 63;
}

/** What Go has where JSON says null. */
function zeroOf(shape: Shape): unknown {
  if (typeof shape === 'object') return 'list' in shape ? [] : {};
  return { string: '', boolean: false, integer: 0, object: {}, strings: [] }[shape];
}

function wrongType(value: unknown, path: string, type: string): UmiakError {
  const what = Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value === 'boolean' ? 'bool' : typeof value;
  const field = path.replace(/^\./, '');
  return new UmiakError('BadRequest', `invalid JSON: json: cannot unmarshal ${what} into Go struct field ${field} of type ${type}`);
}
