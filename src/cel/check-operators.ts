import type { Checker, Scope } from './check.ts';
import { constant } from './check-parts.ts';
import { CompileError } from './errors.ts';
import type { Node } from './nodes.ts';
import type { Syntax } from './parse.ts';
import { BOOL, formatType, isAssignable, joinTypes } from './types.ts';

/** `a + b`, `a == b`, `a in b`: a call of an operator's function. @throws CompileError when no overload fits */
export function checkBinary(
  checker: Checker,
  name: string,
  [first, second]: readonly [Syntax, Syntax],
  scope: Scope | undefined,
  sign: string,
): Node {
  const [left, right] = [checker.check(first, scope), checker.check(second, scope)];
  const at = checker.signAfter(first, sign);
  if ((name === '_==_' || name === '_!=_') && !joinTypes(left.type, right.type))
    throw new CompileError(
      `found no matching overload for '${name}' applied to '(${formatType(left.type)}, ${formatType(right.type)})'`,
      at,
    );
  return checker.call(name, checker.functions(name), [left, right], at);
}

/** `-a`; of a number that is written out, the number. */
export function checkNegative(checker: Checker, operand: Syntax, scope: Scope | undefined, at: number): Node {
  if (operand.op === 'value' && typeof operand.args === 'bigint') return constant(-operand.args, at);
  if (operand.op === 'value' && typeof operand.args === 'number') return constant(-operand.args, at);
  return checker.call('-_', checker.functions('-_'), [checker.check(operand, scope)], at);
}

/** `a && b` and `a || b`. @throws CompileError unless both are bools */
export function checkLogical(
  checker: Checker,
  sign: '&&' | '||',
  [first, second]: readonly [Syntax, Syntax],
  scope: Scope | undefined,
): Node {
  const left = checker.check(first, scope);
  const right = checker.check(second, scope);
  const at = checker.signAfter(first, sign);
  checker.expect(left, BOOL);
  checker.expect(right, BOOL);
  return { op: sign === '&&' ? 'and' : 'or', left, right, type: BOOL, at };
}

/** `test ? yes : no`. @throws CompileError unless the test is a bool and one type holds both */
export function checkChoice(
  checker: Checker,
  [condition, consequent, alternate]: readonly [Syntax, Syntax, Syntax],
  scope: Scope | undefined,
  at: number,
): Node {
  const test = checker.check(condition, scope);
  const yes = checker.check(consequent, scope);
  const no = checker.check(alternate, scope);
  const type = joinTypes(yes.type, no.type);
  if (!type || !isAssignable(test.type, BOOL)) {
    const types = [test, yes, no].map(node => formatType(node.type)).join(', ');
    throw new CompileError(`found no matching overload for '_?_:_' applied to '(${types})'`, at);
  }
  return { op: 'choose', test, yes, no, type, at };
}
