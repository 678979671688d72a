import { OPTIONAL_ELEMENT } from './desugar.ts';
import { CelError, CompileError } from './errors.ts';
import { regex } from './libraries/regex.ts';
import type { Node } from './nodes.ts';
import type { Syntax } from './parse.ts';
import { BOOL, BYTES, type CelType, DOUBLE, INT, NULL, UINT } from './types.ts';
import { type CelValue, Uint } from './values.ts';

const PATTERN_FUNCTIONS = new Set(['matches', 'find', 'findAll']);

/** A pattern that is written out must be one. @throws CompileError */
export function checkPattern(name: string, args: readonly Node[]): void {
  const pattern = args[1];
  if (!PATTERN_FUNCTIONS.has(name) || pattern?.op !== 'const' || typeof pattern.value !== 'string') return;
  try {
    regex(pattern.value);
  } catch (error) {
    if (error instanceof CelError) throw new CompileError(`invalid matches argument: ${error.message}`, pattern.at);
    throw error;
  }
}

/** A literal. @throws CompileError when an integer is too large */
export function constant(value: unknown, at: number): Node {
  const make = (value: CelValue, type: CelType): Node => ({ op: 'const', value, type, at });
  switch (typeof value) {
    case 'bigint':
      if (value > 2n ** 63n - 1n || value < -(2n ** 63n)) throw new CompileError('Syntax error: invalid int literal', at);
      return make(value, INT);
    case 'number':
      return make(value, DOUBLE);
    case 'string':
      return make(value, { kind: 'string', maxSize: value.length });
    case 'boolean':
      return make(value, BOOL);
  }
  if (value === null) return make(null, NULL);
  if (value instanceof Uint8Array) return make(value, { ...BYTES, maxSize: value.length } as CelType);
  return make(new Uint(BigInt((value as { value: bigint }).value)), UINT);
}

/** The written-out path `a.b.c`, undefined for anything else. */
export function pathOf(syntax: Syntax): string | undefined {
  if (syntax.op === 'id') return syntax.args;
  if (syntax.op !== '.') return undefined;
  const rest = pathOf(syntax.args[0]);
  return rest === undefined ? undefined : `${rest}.${syntax.args[1]}`;
}

/** What stands in an optional element, undefined for a plain one. */
export function optionalElement(syntax: Syntax): Syntax | undefined {
  return syntax.op === 'rcall' && syntax.args[0] === OPTIONAL_ELEMENT ? syntax.args[2][0] : undefined;
}

/** True when a type or a part of it is only known at run time. */
export function hasDyn(type: CelType): boolean {
  switch (type.kind) {
    case 'dyn':
      return true;
    case 'list':
    case 'optional':
      return hasDyn(type.element);
    case 'map':
      return hasDyn(type.key) || hasDyn(type.value);
    default:
      return false;
  }
}
