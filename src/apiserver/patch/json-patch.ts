import { isDeepStrictEqual } from 'node:util';
import { UmiakError } from '#base/errors.ts';
import { isObject, setOwn } from '#base/json-object.ts';
import { badRequest } from '../status.ts';

interface Operation {
  op: 'add' | 'remove' | 'replace' | 'move' | 'copy' | 'test';
  path: string;
  from?: string;
  value?: unknown;
}

/** Upstream's bounds: operations in a patch, and bytes that copying may add. */
const MOST_OPERATIONS = 10_000;
const MOST_COPIED_BYTES = 3 << 20;

type Container = Record<string, unknown> | unknown[];

/**
 * Applies a JSON patch (RFC 6902) to `document`, which it changes; gives the result.
 * @throws `BadRequest` for what is no patch, `Invalid` for a patch that does not fit the document
 */
export function applyJsonPatch(document: unknown, patch: unknown): unknown {
  const operations = readPatch(patch);
  let result = document;
  let copied = 0;
  for (const { op, path, from, value } of operations) {
    const pointer = parsePointer(path);
    if (op === 'test') {
      if (!isDeepStrictEqual(read(result, pointer), value)) throw unfit(`testing value ${path} failed`);
    } else if (op === 'remove') result = remove(result, pointer);
    else if (op === 'replace') {
      read(result, pointer);
      result = put(result, pointer, value, true);
    } else if (op === 'add') result = put(result, pointer, value, false);
    else {
      const source = parsePointer(from!);
      const taken = read(result, source);
      if (op === 'copy') {
        const text = JSON.stringify(taken) ?? 'null';
        copied += text.length;
        if (copied > MOST_COPIED_BYTES) throw new UmiakError('RequestEntityTooLarge', 'the JSON patch copies more than 3 MiB');
        result = put(result, pointer, JSON.parse(text), false);
      } else {
        if (source.every((word, i) => word === pointer[i]) && source.length < pointer.length)
          throw unfit('a value can not be moved into itself');
        result = put(remove(result, source), pointer, taken, false);
      }
    }
  }
  return result;
}

function readPatch(patch: unknown): Operation[] {
  if (!Array.isArray(patch)) throw badRequest('error decoding patch: a JSON patch is an array of operations');
  if (patch.length > MOST_OPERATIONS) {
    throw new UmiakError(
      'RequestEntityTooLarge',
      `The allowed maximum operations in a JSON patch is ${MOST_OPERATIONS}, got ${patch.length}`,
    );
  }
  for (const [i, operation] of patch.entries()) {
    if (typeof operation !== 'object' || operation === null || Array.isArray(operation))
      throw badRequest(`error decoding patch: operation ${i} is no object`);
    const { op, path, from } = operation as Record<string, unknown>;
    if (!['add', 'remove', 'replace', 'move', 'copy', 'test'].includes(op as string))
      throw badRequest(`error decoding patch: operation ${i} has no known "op"`);
    if (typeof path !== 'string') throw badRequest(`error decoding patch: operation ${i} has no "path"`);
    if ((op === 'move' || op === 'copy') && typeof from !== 'string')
      throw badRequest(`error decoding patch: operation ${i} has no "from"`);
    if ((op === 'add' || op === 'replace' || op === 'test') && !('value' in operation))
      throw badRequest(`error decoding patch: operation ${i} has no "value"`);
  }
  return patch as Operation[];
}

/** RFC 6901. */
function parsePointer(path: string): string[] {
  if (path === '') return [];
  if (!path.startsWith('/')) throw unfit(`the path ${JSON.stringify(path.slice(0, 100))} does not begin with "/"`);
  return path
    .slice(1)
    .split('/')
    .map(word => word.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function read(document: unknown, pointer: string[]): unknown {
  let value = document;
  for (const word of pointer) {
    if (Array.isArray(value)) value = value[indexOf(word, value.length - 1, pointer)];
    else if (isObject(value) && Object.hasOwn(value, word)) value = value[word];
    else throw missing(pointer);
  }
  return value;
}

function put(document: unknown, pointer: string[], value: unknown, replacing: boolean): unknown {
  if (pointer.length === 0) return value;
  const parent = read(document, pointer.slice(0, -1)) as Container;
  const word = pointer.at(-1)!;
  if (Array.isArray(parent)) {
    if (replacing) parent[indexOf(word, parent.length - 1, pointer)] = value;
    else parent.splice(word === '-' ? parent.length : indexOf(word, parent.length, pointer), 0, value);
  } else if (isObject(parent)) setOwn(parent, word, value);
  else throw missing(pointer);
  return document;
}

function remove(document: unknown, pointer: string[]): unknown {
  if (pointer.length === 0) return null;
  const parent = read(document, pointer.slice(0, -1)) as Container;
  const word = pointer.at(-1)!;
  if (Array.isArray(parent)) parent.splice(indexOf(word, parent.length - 1, pointer), 1);
  else if (isObject(parent) && Object.hasOwn(parent, word)) delete parent[word];
  else throw missing(pointer);
  return document;
}

function indexOf(word: string, last: number, pointer: string[]): number {
  if (!/^(0|[1-9]\d{0,9})$/.test(word) || Number(word) > last) throw missing(pointer);
  return Number(word);
}

function missing(pointer: string[]): UmiakError {
  return unfit(`there is no ${`/${pointer.join('/')}`.slice(0, 200)} in the object`);
}

function unfit(why: string): UmiakError {
  return new UmiakError('Invalid', `the server rejected our request due to an error in our request: ${why}`);
}
