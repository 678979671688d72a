import type { Budget } from './budget.ts';
import { BudgetExceeded, CelError, Pause } from './errors.ts';
import { type Progress, runLoop } from './loops.ts';
import type { Node } from './nodes.ts';
import type { Overload } from './overload.ts';
import type { CelType } from './types.ts';
import {
  CelList,
  CelMap,
  type CelValue,
  fits,
  JsonObject,
  Optional,
  StructValue,
  sizeOf,
  toValue,
  typeNameOf,
  Uint,
  ValueList,
  ValueMap,
} from './values.ts';

/** One evaluation under way. */
export interface Frame {
  readonly variables: Readonly<Record<string, unknown>>;
  readonly locals: CelValue[];
  readonly budget: Budget;
  /** In an evaluation that pauses: its loops, and at which of them it is. */
  readonly loops?: Progress[];
  place: number;
}

/** A compiled node. */
export type Run = (frame: Frame) => CelValue;

/** Turns a checked expression into closures. */
export function compileNode(node: Node): Run {
  switch (node.op) {
    case 'const':
      return () => node.value;
    case 'root':
      return root(node.name, node.type);
    case 'local':
      return frame => frame.locals[node.slot] as CelValue;
    case 'select':
      return select(node);
    case 'index':
      return index(node);
    case 'call':
      return call(node);
    case 'and':
    case 'or':
      return logical(compileNode(node.left), compileNode(node.right), node.op === 'or');
    case 'choose': {
      const [test, yes, no] = [compileNode(node.test), compileNode(node.yes), compileNode(node.no)];
      return frame => (bool(test(frame)) ? yes(frame) : no(frame));
    }
    case 'list':
      return list(node);
    case 'map':
      return map(node);
    case 'bind': {
      const [init, body] = [compileNode(node.init), compileNode(node.body)];
      return frame => {
        frame.locals[node.slot] = init(frame);
        return body(frame);
      };
    }
    case 'optMap': {
      const [target, body] = [compileNode(node.target), compileNode(node.body)];
      return frame => {
        const value = optionalValue(target(frame));
        if (value === undefined) return Optional.NONE;
        frame.locals[node.slot] = value;
        const result = body(frame);
        return node.isFlat ? result : Optional.of(result);
      };
    }
    case 'loop':
      return runLoop(node, {
        range: compileNode(node.range),
        filter: node.filter && compileNode(node.filter),
        step: compileNode(node.step),
      });
  }
}

function root(name: string, type: CelType): Run {
  return frame => {
    frame.budget.charge(1);
    const raw = frame.variables[name];
    if (raw === undefined) throw new CelError(`no such attribute(s): ${name}`);
    return toValue(raw, type);
  };
}

function select({ target, field, declared, isTest, isOptional }: Extract<Node, { op: 'select' }>): Run {
  const run = compileNode(target);
  return frame => {
    frame.budget.charge(1);
    const given = run(frame);
    const inOptional = given instanceof Optional;
    const value = inOptional ? given.value : given;
    if (value === undefined) return isTest ? false : Optional.NONE;
    let found: CelValue | undefined;
    if (declared && value instanceof JsonObject) found = value.read(declared);
    else if (value instanceof CelMap) found = value.get(field);
    else throw new CelError(value === null ? `no such key: ${field}` : 'no such overload');
    if (isTest) return found !== undefined;
    if (isOptional || inOptional) return found === undefined ? Optional.NONE : Optional.of(found);
    if (found === undefined) throw new CelError(`no such key: ${field}`);
    return found;
  };
}

function index({ target, key, isOptional }: Extract<Node, { op: 'index' }>): Run {
  const [runTarget, runKey] = [compileNode(target), compileNode(key)];
  return frame => {
    frame.budget.charge(1);
    const given = runTarget(frame);
    const inOptional = given instanceof Optional;
    const value = inOptional ? given.value : given;
    if (value === undefined) return Optional.NONE;
    const at = runKey(frame);
    const found = element(value, at);
    if (isOptional || inOptional) return found === undefined ? Optional.NONE : Optional.of(found);
    if (found !== undefined) return found;
    throw new CelError(value instanceof CelList ? `index out of bounds: ${String(at)}` : `no such key: ${String(at)}`);
  };
}

function element(value: CelValue, at: CelValue): CelValue | undefined {
  if (value instanceof CelMap) return value.get(at);
  if (!(value instanceof CelList)) throw new CelError('no such overload');
  const position = at instanceof Uint ? at.value : at;
  if (typeof position !== 'bigint' && !(typeof position === 'number' && Number.isInteger(position)))
    throw new CelError(`unsupported index type '${typeNameOf(at)}' in list`);
  return position >= 0 && position < value.length ? value.at(Number(position)) : undefined;
}

function call({ name, overloads, isSure, args }: Extract<Node, { op: 'call' }>): Run {
  const runs = args.map(compileNode);
  const [first, second] = runs;
  const [only] = overloads;
  if (isSure && only && runs.length === 1 && first)
    return frame => {
      const a = first(frame);
      frame.budget.charge(only.cost ? 1 + only.cost(sizeOf(a)) : 1);
      return only.call(a);
    };
  if (isSure && only && runs.length === 2 && first && second)
    return frame => {
      const a = first(frame);
      const b = second(frame);
      frame.budget.charge(only.cost ? 1 + only.cost(sizeOf(a), sizeOf(b)) : 1);
      return only.call(a, b);
    };
  return frame => {
    const values = runs.map(run => run(frame));
    const overload = chosen(overloads, values, name);
    frame.budget.charge(overload.cost ? 1 + overload.cost(...values.map(sizeOf)) : 1);
    return overload.call(...values);
  };
}

function chosen(overloads: readonly Overload[], values: readonly CelValue[], name: string): Overload {
  for (const overload of overloads) if (overload.params.every((param, index) => fits(values[index] as CelValue, param))) return overload;
  throw new CelError(`no such overload: ${name}(${values.map(typeNameOf).join(', ')})`);
}

/** `&&` and `||`: a side that decides hides the other's failure. */
function logical(left: Run, right: Run, decisive: boolean): Run {
  return frame => {
    let failure: unknown;
    try {
      if (bool(left(frame)) === decisive) return decisive;
    } catch (error) {
      if (error instanceof BudgetExceeded || error instanceof Pause) throw error;
      failure = error;
    }
    const value = bool(right(frame));
    if (value !== decisive && failure !== undefined) throw failure;
    return value;
  };
}

function list({ items }: Extract<Node, { op: 'list' }>): Run {
  const parts = items.map(({ node, isOptional }) => ({ run: compileNode(node), isOptional }));
  if (items.every(({ node, isOptional }) => node.op === 'const' && !isOptional)) {
    const fixed = new ValueList(items.map(({ node }) => (node.op === 'const' ? node.value : null)));
    return frame => {
      frame.budget.charge(10);
      return fixed;
    };
  }
  return frame => {
    frame.budget.charge(10);
    const values: CelValue[] = [];
    for (const { run, isOptional } of parts) {
      const value = run(frame);
      const kept = isOptional ? optionalValue(value) : value;
      if (kept !== undefined) values.push(kept);
    }
    return new ValueList(values);
  };
}

function map({ entries, struct }: Extract<Node, { op: 'map' }>): Run {
  const parts = entries.map(({ key, value, isOptional }) => ({ key: compileNode(key), value: compileNode(value), isOptional }));
  return frame => {
    frame.budget.charge(struct === undefined ? 30 : 40);
    const pairs: [CelValue, CelValue][] = [];
    for (const { key, value, isOptional } of parts) {
      const name = key(frame);
      const given = value(frame);
      const kept = isOptional ? optionalValue(given) : given;
      if (kept !== undefined) pairs.push([name, kept]);
    }
    return struct === undefined ? new ValueMap(pairs) : new StructValue(struct, pairs);
  };
}

function optionalValue(value: CelValue): CelValue | undefined {
  if (value instanceof Optional) return value.value;
  throw new CelError('no such overload');
}

/** @throws CelError unless the value is a bool */
export function bool(value: CelValue): boolean {
  if (typeof value === 'boolean') return value;
  throw new CelError('no such overload');
}
