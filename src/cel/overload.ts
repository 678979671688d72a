import {
  BOOL,
  BYTES,
  type CelType,
  DOUBLE,
  DURATION,
  DYN,
  INT,
  listOf,
  mapOf,
  NULL,
  opaque,
  optionalOf,
  STRING,
  TIMESTAMP,
  TYPE,
  UINT,
} from './types.ts';
import type { CelValue } from './values.ts';

/** What a call of a size costs; the same rule serves the static estimation with the largest sizes. */
export type CostOf = (...sizes: number[]) => number;

/** One signature of a function with its implementation. A member's receiver is its first parameter. */
export interface Overload {
  readonly name: string;
  readonly isMember: boolean;
  readonly params: readonly CelType[];
  readonly result: CelType;
  readonly call: (...args: CelValue[]) => CelValue;
  readonly cost: CostOf | undefined;
  /** The largest size of the result (estimation); 1 where it does not matter. */
  readonly resultSize: CostOf | undefined;
}

/** Sizes of a function beyond the defaults: a cost of one unit. */
export interface OverloadSizes {
  cost?: CostOf;
  resultSize?: CostOf;
}

/** The functions by `name`, members by `.name`. */
export type FunctionTable = ReadonlyMap<string, readonly Overload[]>;

const SIMPLE: Readonly<Record<string, CelType>> = {
  bool: BOOL,
  int: INT,
  uint: UINT,
  double: DOUBLE,
  string: STRING,
  bytes: BYTES,
  timestamp: TIMESTAMP,
  duration: DURATION,
  null: NULL,
  type: TYPE,
  dyn: DYN,
  list: listOf(DYN),
  map: mapOf(DYN, DYN),
};

/** Traversing a text costs a tenth of its length. */
export const scan: CostOf = (size = 0) => Math.ceil(size * 0.1);
/** Comparing two sized values costs a tenth of the shorter. */
export const scanShorter: CostOf = (a = 0, b = 0) => Math.ceil(Math.min(a, b) * 0.1);
/** Joining two. */
export const scanBoth: CostOf = (a = 0, b = 0) => Math.ceil((a + b) * 0.1);
/** Matching: the text times the expression. */
export const scanRegex: CostOf = (text = 0, pattern = 0) => Math.ceil((text + 1) * 0.1) * Math.ceil(pattern * 0.25);
/** Walking a list once. */
export const walk: CostOf = (size = 0) => size;
/** Each element of one against each of the other. */
export const walkProduct: CostOf = (a = 0, b = 0) => a * b + 1;
export const same: CostOf = (size = 0) => size;

/** `define('string.charAt(int): string', (text, at) => …)`: a receiver before a dot that is no namespace of `named` makes it a member. */
export function define(signature: string, call: (...args: never[]) => CelValue, { cost, resultSize }: OverloadSizes = {}): Overload {
  const match = /^(?:(.+?)\.(?=[A-Za-z_]+\())?([\w.+*/%<>=!@?:[\]-]+)\((.*)\): (.+)$/.exec(signature);
  if (!match) throw new Error(`not a signature: ${signature}`);
  const [, receiver, name = '', params = '', result = ''] = match;
  const isNamespace = receiver !== undefined && NAMESPACES.has(receiver);
  const types = splitTypes(params).map(readType);
  return {
    name: isNamespace ? `${receiver}.${name}` : name,
    isMember: receiver !== undefined && !isNamespace,
    params: receiver === undefined || isNamespace ? types : [readType(receiver), ...types],
    result: readType(result),
    call: call as unknown as Overload['call'],
    cost,
    resultSize,
  };
}

/** Names before a dot that are part of a function's name. */
export const NAMESPACES: ReadonlySet<string> = new Set([
  'optional',
  'math',
  'sets',
  'base64',
  'strings',
  'format',
  'ip',
  'jsonpatch',
  'lists',
]);

/** The table of many overloads. */
export function tableOf(...groups: readonly (readonly Overload[])[]): FunctionTable {
  const table = new Map<string, Overload[]>();
  for (const overload of groups.flat()) {
    const key = overload.isMember ? `.${overload.name}` : overload.name;
    const known = table.get(key);
    if (known) known.push(overload);
    else table.set(key, [overload]);
  }
  return table;
}

function readType(text: string): CelType {
  const simple = SIMPLE[text];
  if (simple) return simple;
  const parts = /^(list|map|optional)<(.+)>$/.exec(text);
  if (parts) {
    const [first = DYN, second = DYN] = splitTypes(parts[2] ?? '').map(readType);
    return parts[1] === 'list' ? listOf(first) : parts[1] === 'map' ? mapOf(first, second) : optionalOf(first);
  }
  return /^[A-Z]$/.test(text) ? { kind: 'param', name: text } : opaque(text);
}

function splitTypes(text: string): string[] {
  const types: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '<') depth++;
    else if (text[at] === '>') depth--;
    else if (text[at] === ',' && depth === 0) {
      types.push(text.slice(start, at).trim());
      start = at + 1;
    }
  }
  const last = text.slice(start).trim();
  return last === '' ? types : [...types, last];
}
