import type { Checker, Scope } from './check.ts';
import { CompileError } from './errors.ts';
import type { Loop, Node } from './nodes.ts';
import type { Syntax } from './parse.ts';
import { BOOL, type CelType, DYN, formatType, INT, listOf, mapOf, optionalOf } from './types.ts';

/** A comprehension's shape: what it gives, its number of variables, whether an argument before the last filters. */
interface Shape {
  macro: Loop['macro'];
  variables: 1 | 2;
  hasFilter: boolean;
}

const one = (macro: Loop['macro'], hasFilter = false): Shape => ({ macro, variables: 1, hasFilter });
const two = (macro: Loop['macro'], hasFilter = false): Shape => ({ macro, variables: 2, hasFilter });
/** The comprehensions by name and number of arguments. */
const SHAPES: Readonly<Record<string, Shape>> = {
  'all/2': one('all'),
  'all/3': two('all'),
  'exists/2': one('exists'),
  'exists/3': two('exists'),
  'exists_one/2': one('existsOne'),
  'existsOne/2': one('existsOne'),
  'exists_one/3': two('existsOne'),
  'existsOne/3': two('existsOne'),
  'map/2': one('list'),
  'map/3': one('list', true),
  'filter/2': one('list'),
  'transformList/3': two('list'),
  'transformList/4': two('list', true),
  'transformMap/3': two('mapValues'),
  'transformMap/4': two('mapValues', true),
  'transformMapEntry/3': two('mapEntries'),
  'transformMapEntry/4': two('mapEntries', true),
};

/** The node of a macro call, undefined when the call is none. @throws CompileError */
export function expandMacro(
  checker: Checker,
  name: string,
  receiver: Syntax | undefined,
  args: readonly Syntax[],
  scope: Scope | undefined,
  at: number,
): Node | undefined {
  if (!receiver) return name === 'has' && args.length === 1 ? has(checker, args[0] as Syntax, scope, at) : undefined;
  if ((name === 'optMap' || name === 'optFlatMap') && args.length === 2) return optMap(checker, name, receiver, args, scope, at);
  const shape = SHAPES[`${name}/${args.length}`];
  return shape && comprehension(checker, name, shape, receiver, args, scope, at);
}

function has(checker: Checker, argument: Syntax, scope: Scope | undefined, at: number): Node {
  if (argument.op !== '.' && argument.op !== '.?') throw new CompileError('invalid argument to has() macro', at);
  return checker.select(checker.check(argument.args[0], scope), argument.args[1], checker.at(argument) - 1, { isTest: true });
}

function optMap(checker: Checker, name: string, receiver: Syntax, args: readonly Syntax[], outer: Scope | undefined, at: number): Node {
  const target = checker.check(receiver, outer);
  if (target.type.kind !== 'optional' && target.type.kind !== 'dyn')
    throw new CompileError(`found no matching overload for '${name}' applied to '${formatType(target.type)}.()'`, at);
  const slot = checker.takeSlot();
  const type = target.type.kind === 'optional' ? target.type.element : DYN;
  const body = checker.check(args[1] as Syntax, { name: variable(args[0], checker), slot, type, outer });
  const isFlat = name === 'optFlatMap';
  return { op: 'optMap', target, slot, body, isFlat, type: isFlat ? body.type : optionalOf(body.type), at };
}

function comprehension(
  checker: Checker,
  name: string,
  { macro, variables, hasFilter }: Shape,
  receiver: Syntax,
  args: readonly Syntax[],
  outer: Scope | undefined,
  at: number,
): Node {
  const range = checker.check(receiver, outer);
  const [firstType, secondType] = variableTypes(range, variables);
  const first = checker.takeSlot();
  let scope: Scope = { name: variable(args[0], checker), slot: first, type: firstType, outer };
  const second = variables === 2 ? checker.takeSlot() : undefined;
  if (second !== undefined) scope = { name: variable(args[1], checker), slot: second, type: secondType, outer: scope };
  const last = checker.check(args.at(-1) as Syntax, scope);
  if (name === 'filter') {
    const step: Node = { op: 'local', slot: first, name: scope.name, type: firstType, at };
    return { op: 'loop', macro, range, first, second, filter: checker.expect(last, BOOL), step, type: listOf(firstType), at };
  }
  const filter = hasFilter ? checker.expect(checker.check(args.at(-2) as Syntax, scope), BOOL) : undefined;
  const keyType = range.type.kind === 'list' ? INT : firstType;
  return { op: 'loop', macro, range, first, second, filter, step: last, type: resultType(checker, macro, last, keyType), at };
}

function resultType(checker: Checker, macro: Loop['macro'], step: Node, keyType: CelType): CelType {
  if (macro === 'list') return listOf(step.type);
  if (macro === 'mapValues') return mapOf(keyType, step.type);
  if (macro === 'mapEntries') return checker.expect(step, mapOf(DYN, DYN)).type;
  checker.expect(step, BOOL);
  return BOOL;
}

function variableTypes({ type, at }: Node, variables: 1 | 2): [CelType, CelType] {
  if (type.kind === 'dyn') return [DYN, DYN];
  if (type.kind === 'list') return variables === 1 ? [type.element, DYN] : [INT, type.element];
  if (type.kind === 'map') return [type.key, type.value];
  throw new CompileError(`expression of type '${formatType(type)}' cannot be range of a comprehension (must be list, map, or dynamic)`, at);
}

function variable(syntax: Syntax | undefined, checker: Checker): string {
  if (syntax?.op === 'id') return syntax.args;
  throw new CompileError('argument must be a simple name', syntax ? checker.at(syntax) : 0);
}
