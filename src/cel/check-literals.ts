import type { Checker, Scope } from './check.ts';
import { constant, optionalElement, pathOf } from './check-parts.ts';
import { CompileError } from './errors.ts';
import type { Entry, Item, Node } from './nodes.ts';
import type { Syntax } from './parse.ts';
import { type CelType, DYN, formatType, isAssignable, listOf, mapOf } from './types.ts';

type Pairs = readonly (readonly [Syntax, Syntax])[];

/** `[a, b, ?c]`. @throws CompileError unless one type holds all */
export function checkList(checker: Checker, elements: readonly Syntax[], scope: Scope | undefined, at: number): Node {
  const items = elements.map(element => checkElement(checker, element, scope));
  let type: CelType | undefined;
  for (const { node, isOptional } of items) {
    const item = isOptional && node.type.kind === 'optional' ? node.type.element : node.type;
    type = type === undefined ? item : checker.join(type, item, node.at);
  }
  return { op: 'list', items, type: listOf(type ?? DYN, items.length), at };
}

/** `{a: b, ?c: d}`. @throws CompileError unless one type holds all keys, and one all values */
export function checkMap(checker: Checker, pairs: Pairs, scope: Scope | undefined, at: number): Node {
  let keyType: CelType | undefined;
  let valueType: CelType | undefined;
  const entries: Entry[] = pairs.map(([keySyntax, valueSyntax]) => {
    const inner = optionalElement(keySyntax);
    const isOptional = inner !== undefined;
    const key = checker.check(inner ?? keySyntax, scope);
    const value = checker.check(valueSyntax, scope);
    const type = isOptional && value.type.kind === 'optional' ? value.type.element : value.type;
    keyType = keyType === undefined ? key.type : checker.join(keyType, key.type, key.at);
    valueType = valueType === undefined ? type : checker.join(valueType, type, value.at);
    return { key, value, isOptional };
  });
  return { op: 'map', entries, struct: undefined, type: mapOf(keyType ?? DYN, valueType ?? DYN, entries.length), at };
}

/** `Name{field: value}`. @throws CompileError for a name or a field that nobody knows, or a value of another type */
export function checkStruct(checker: Checker, receiver: Syntax, literal: Syntax | undefined, scope: Scope | undefined, at: number): Node {
  const name = pathOf(receiver);
  const type = name === undefined ? undefined : checker.structOf(name);
  if (!type || literal?.op !== 'map') throw new CompileError(`undeclared reference to '${name ?? ''}' (in container '')`, at);
  const entries: Entry[] = literal.args.map(([keySyntax, valueSyntax]) => {
    const inner = optionalElement(keySyntax);
    const key = inner ?? keySyntax;
    if (key.op !== 'id') throw new CompileError('Syntax error: a field name is expected', checker.at(key));
    const value = checker.check(valueSyntax, scope);
    const given = inner && value.type.kind === 'optional' ? value.type.element : value.type;
    const declared = type.fields.get(key.args);
    if (!declared && type.fields.size > 0) throw new CompileError(`undefined field '${key.args}'`, checker.at(key));
    if (declared && !isAssignable(given, declared.type))
      throw new CompileError(
        `expected type of field '${key.args}' is '${formatType(declared.type)}' but provided type is '${formatType(given)}'`,
        checker.at(key),
      );
    return { key: constant(declared?.property ?? key.args, checker.at(key)), value, isOptional: inner !== undefined };
  });
  return { op: 'map', entries, struct: type.name, type, at };
}

function checkElement(checker: Checker, element: Syntax, scope: Scope | undefined): Item {
  const inner = optionalElement(element);
  const node = checker.check(inner ?? element, scope);
  if (inner && node.type.kind !== 'optional' && node.type.kind !== 'dyn')
    throw new CompileError(`expected type 'optional_type' but found '${formatType(node.type)}'`, node.at);
  return { node, isOptional: inner !== undefined };
}
