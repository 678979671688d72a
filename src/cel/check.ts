import { checkList, checkMap, checkStruct } from './check-literals.ts';
import { checkBinary, checkChoice, checkLogical, checkNegative } from './check-operators.ts';
import { checkPattern, constant, hasDyn, pathOf } from './check-parts.ts';
import { STRUCT } from './desugar.ts';
import { CompileError } from './errors.ts';
import { expandMacro } from './macros.ts';
import type { Node } from './nodes.ts';
import { type FunctionTable, NAMESPACES, type Overload } from './overload.ts';
import type { Parsed, Syntax } from './parse.ts';
import {
  BOOL,
  type CelField,
  type CelType,
  DYN,
  formatType,
  INT,
  isAssignable,
  joinTypes,
  type ObjectType,
  optionalOf,
  substitute,
  TYPE,
} from './types.ts';
import { TypeValue } from './values.ts';

/** What an expression may refer to. */
export interface Environment {
  variables: Readonly<Record<string, CelType>>;
  functions: FunctionTable;
  /** The type of a message name in `Name{…}`, undefined when there is none. */
  structs?: (name: string) => ObjectType | undefined;
}

/** Names bound by macros, innermost first. */
export interface Scope {
  name: string;
  slot: number;
  type: CelType;
  outer: Scope | undefined;
}

const TYPE_NAMES = new Map(
  ['bool', 'int', 'uint', 'double', 'string', 'bytes', 'list', 'map', 'type', 'null_type', 'optional_type'].map(name => [name, name]),
);
/** Operations within operations; also the longest chain `a + b + c`. */
const MOST_DEPTH = 1_000;
const BINARY = new Set(['==', '!=', '<', '<=', '>', '>=', '+', '-', '*', '/', '%']);

/** Gives every part of an expression its type. @throws CompileError at the first part that has none */
export class Checker {
  readonly #environment: Environment;
  readonly #parsed: Parsed;
  /** Root variables that the expression reads. */
  readonly roots = new Set<string>();
  #depth = 0;
  /** Above zero inside `.format([…])`, whose list may mix types. */
  #mixing = 0;
  /** Local variables in use at once. */
  slots = 0;

  constructor(environment: Environment, parsed: Parsed) {
    this.#environment = environment;
    this.#parsed = parsed;
  }

  check(syntax: Syntax, scope: Scope | undefined): Node {
    if (++this.#depth > MOST_DEPTH) throw new CompileError(`Syntax error: expression recursion limit exceeded: ${MOST_DEPTH}`, 0);
    const node = this.#check(syntax, scope);
    this.#depth--;
    return node;
  }

  #check(syntax: Syntax, scope: Scope | undefined): Node {
    const at = this.#parsed.toSource(syntax.pos);
    switch (syntax.op) {
      case 'value':
        return constant(syntax.args, at);
      case 'id':
        return this.#identifier(syntax.args, scope, at);
      case '.':
      case '.?':
        return this.#select(syntax, scope);
      case '[]':
      case '[?]':
        return this.#index(this.check(syntax.args[0], scope), this.check(syntax.args[1], scope), syntax.op === '[?]', at);
      case 'call':
        return this.#call(syntax.args[0], syntax.args[1], syntax, scope);
      case 'rcall':
        return this.#member(...syntax.args, scope);
      case 'list':
        return checkList(this, syntax.args, scope, at);
      case 'map':
        return checkMap(this, syntax.args, scope, at);
      case '?:':
        return checkChoice(this, syntax.args, scope, at);
      case '&&':
      case '||':
        return checkLogical(this, syntax.op, syntax.args, scope);
      case '!_':
        return this.call('!_', this.functions('!_'), [this.check(syntax.args, scope)], at);
      case '-_':
        return checkNegative(this, syntax.args, scope, at);
      case 'in':
        return checkBinary(this, '@in', syntax.args, scope, 'in');
      default:
        if (BINARY.has(syntax.op)) return checkBinary(this, `_${syntax.op}_`, syntax.args as [Syntax, Syntax], scope, syntax.op);
        throw new CompileError(`unsupported operator '${(syntax as Syntax).op}'`, at);
    }
  }

  /** A slot for a variable that a macro binds. */
  takeSlot(): number {
    return this.slots++;
  }

  /** Where a parsed node stands in the author's text. */
  at(syntax: Syntax): number {
    return this.#parsed.toSource(syntax.pos);
  }

  /** A call of the first overloads that fit. @throws CompileError when none does */
  call(name: string, overloads: readonly Overload[], args: readonly Node[], at: number): Node {
    const isSure = args.every(({ type }) => !hasDyn(type));
    const fitting: Overload[] = [];
    let result: CelType | undefined;
    for (const overload of overloads) {
      if (overload.params.length !== args.length) continue;
      const bound = new Map<string, CelType>();
      if (!overload.params.every((param, index) => isAssignable((args[index] as Node).type, param, bound))) continue;
      fitting.push(overload);
      const type = substitute(overload.result, bound);
      result = result === undefined || formatType(result) === formatType(type) ? type : DYN;
      if (isSure) break;
    }
    if (!result) {
      const isMember = overloads[0]?.isMember === true;
      const types = args.map(({ type }) => formatType(type));
      const applied = isMember ? `${types[0]}.(${types.slice(1).join(', ')})` : `(${types.join(', ')})`;
      throw new CompileError(`found no matching overload for '${name}' applied to '${applied}'`, at);
    }
    checkPattern(name, args);
    return { op: 'call', name, overloads: fitting, isSure: isSure && fitting.length === 1, args, type: result, at };
  }

  /** @throws CompileError unless the node is of the type */
  expect(node: Node, type: CelType): Node {
    if (!isAssignable(node.type, type))
      throw new CompileError(`expected type '${formatType(type)}' but found '${formatType(node.type)}'`, node.at);
    return node;
  }

  /** The overloads of a function; none for a name that nobody knows. */
  functions(name: string): readonly Overload[] {
    return this.#environment.functions.get(name) ?? [];
  }

  #identifier(name: string, scope: Scope | undefined, at: number): Node {
    for (let local = scope; local; local = local.outer)
      if (local.name === name) return { op: 'local', slot: local.slot, name, type: local.type, at };
    const type = Object.hasOwn(this.#environment.variables, name) ? this.#environment.variables[name] : undefined;
    if (type) {
      this.roots.add(name);
      return { op: 'root', name, type, at };
    }
    if (TYPE_NAMES.has(name)) return { op: 'const', value: new TypeValue(name), type: TYPE, at };
    throw new CompileError(`undeclared reference to '${name}' (in container '')`, at);
  }

  #isName(syntax: Syntax, name: string, scope: Scope | undefined): boolean {
    if (syntax.op !== 'id' || syntax.args !== name || Object.hasOwn(this.#environment.variables, name)) return false;
    for (let local = scope; local; local = local.outer) if (local.name === name) return false;
    return true;
  }

  #select(syntax: Extract<Syntax, { op: '.' | '.?' }>, scope: Scope | undefined): Node {
    const [operand, field] = syntax.args;
    const path = pathOf(syntax);
    if (path === 'google.protobuf.Timestamp' || path === 'google.protobuf.Duration')
      return { op: 'const', value: new TypeValue(path), type: TYPE, at: this.at(syntax) };
    if (path !== undefined && Object.hasOwn(this.#environment.variables, path)) return this.#identifier(path, scope, this.at(syntax));
    const dot = this.#parsed.toSource(this.#parsed.text.lastIndexOf('.', syntax.pos - 1));
    return this.select(this.check(operand, scope), field, dot, { isOptional: syntax.op === '.?' });
  }

  /** A field of an object or a key of a map. */
  select(target: Node, field: string, at: number, { isTest = false, isOptional = false } = {}): Node {
    const inner = target.type.kind === 'optional' ? target.type.element : target.type;
    const makesOptional = isOptional || (target.type.kind === 'optional' && !isTest);
    const make = (type: CelType, declared?: CelField): Node => ({
      op: 'select',
      target,
      field,
      declared,
      isTest,
      isOptional,
      type: isTest ? BOOL : makesOptional ? optionalOf(type) : type,
      at,
    });
    if (inner.kind === 'dyn') return make(DYN);
    if (inner.kind === 'map') return make(inner.value);
    if (inner.kind === 'object') {
      const declared = inner.fields.get(field);
      if (!declared) throw new CompileError(`undefined field '${field}'`, at);
      return make(declared.type, declared);
    }
    throw new CompileError(`type '${formatType(target.type)}' does not support field selection`, at);
  }

  #index(target: Node, key: Node, isOptional: boolean, at: number): Node {
    const inner = target.type.kind === 'optional' ? target.type.element : target.type;
    const wrap = (type: CelType) => (isOptional || target.type.kind === 'optional' ? optionalOf(type) : type);
    const make = (type: CelType): Node => ({ op: 'index', target, key, isOptional, type: wrap(type), at });
    if (inner.kind === 'dyn') return make(DYN);
    if (inner.kind === 'list' && isAssignable(key.type, INT)) return make(inner.element);
    if (inner.kind === 'list' && (key.type.kind === 'uint' || key.type.kind === 'double')) return make(inner.element);
    if (inner.kind === 'map' && isAssignable(key.type, inner.key)) return make(inner.value);
    throw new CompileError(`found no matching overload for '_[_]' applied to '(${formatType(target.type)}, ${formatType(key.type)})'`, at);
  }

  #call(name: string, args: readonly Syntax[], syntax: Syntax, scope: Scope | undefined): Node {
    const macro = expandMacro(this, name, undefined, args, scope, this.at(syntax));
    if (macro) return macro;
    const at = this.#parenthesis(syntax.pos + name.length);
    const overloads = this.functions(name);
    const nodes = args.map(arg => this.check(arg, scope));
    if (overloads.length === 0) throw new CompileError(`undeclared reference to '${name}' (in container '')`, at);
    return this.call(name, overloads, nodes, at);
  }

  #member(name: string, receiver: Syntax, args: readonly Syntax[], scope: Scope | undefined): Node {
    const at = this.#parenthesis(receiver.end);
    if (name === STRUCT) return checkStruct(this, receiver, args[0], scope, at);
    if (this.#isName(receiver, 'cel', scope) && name === 'bind') return this.#bind(args, scope, at);
    for (const namespace of NAMESPACES) {
      if (!this.#isName(receiver, namespace, scope)) continue;
      const nodes = args.map(arg => this.check(arg, scope));
      if (namespace === 'math' && (name === 'greatest' || name === 'least') && nodes.length > 2)
        return this.#fold(`math.${name}`, nodes, at);
      const overloads = this.functions(`${namespace}.${name}`);
      if (overloads.length === 0) throw new CompileError(`undeclared reference to '${namespace}.${name}' (in container '')`, at);
      return this.call(`${namespace}.${name}`, overloads, nodes, at);
    }
    const macro = expandMacro(this, name, receiver, args, scope, at);
    if (macro) return macro;
    const nodes = [this.check(receiver, scope)];
    if (name === 'format') this.#mixing++;
    for (const arg of args) nodes.push(this.check(arg, scope));
    if (name === 'format') this.#mixing--;
    const overloads = this.functions(`.${name}`);
    if (overloads.length === 0) throw new CompileError(`undeclared reference to '${name}' (in container '')`, at);
    return this.call(name, overloads, nodes, at);
  }

  /** `math.greatest(a, b, c)` as pairs. */
  #fold(name: string, nodes: readonly Node[], at: number): Node {
    return nodes.slice(1).reduce((left, right) => this.call(name, this.functions(name), [left, right], at), nodes[0] as Node);
  }

  #bind(args: readonly Syntax[], scope: Scope | undefined, at: number): Node {
    const [variable, value, expression] = args;
    if (args.length !== 3 || variable?.op !== 'id' || !value || !expression)
      throw new CompileError('cel.bind() variable names must be simple identifiers', at);
    const init = this.check(value, scope);
    const slot = this.takeSlot();
    const body = this.check(expression, { name: variable.args, slot, type: init.type, outer: scope });
    return { op: 'bind', slot, init, body, type: body.type, at };
  }

  /** The type of a message name, undefined when there is none. */
  structOf(name: string): ObjectType | undefined {
    return this.#environment.structs?.(name);
  }

  /** Where a sign stands after an operand. */
  signAfter(operand: Syntax, sign: string): number {
    return this.#parsed.toSource(Math.max(0, this.#parsed.text.indexOf(sign, operand.end)));
  }

  /** The type that holds both. @throws CompileError where they may not be mixed */
  join(a: CelType, b: CelType, at: number): CelType {
    const joined = joinTypes(a, b) ?? (this.#mixing > 0 ? DYN : undefined);
    if (!joined) throw new CompileError(`expected type '${formatType(a)}' but found '${formatType(b)}'`, at);
    return joined;
  }

  /** The offset of the parenthesis that opens the arguments after `from`. */
  #parenthesis(from: number): number {
    const found = this.#parsed.text.indexOf('(', from);
    return this.#parsed.toSource(found < 0 ? from : found);
  }
}
