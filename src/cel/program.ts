import { Budget } from './budget.ts';
import { Checker } from './check.ts';
import { estimateNode } from './cost.ts';
import { BudgetExceeded, CelError, CompileError, formatError, Pause } from './errors.ts';
import { compileNode, type Run } from './evaluate.ts';
import { functionTable } from './libraries/index.ts';
import type { Progress } from './loops.ts';
import type { Node } from './nodes.ts';
import { parseExpression } from './parse.ts';
import { type CelType, formatType, isAssignable, type ObjectType } from './types.ts';
import type { CelValue } from './values.ts';

/** What an expression is compiled against. */
export interface CompileOptions {
  /** The variables by name. Hand in the same `CelType` objects each time: the cache goes by their identity. */
  variables: Readonly<Record<string, CelType>>;
  /** The types that the result may have; any when left out. */
  results?: readonly CelType[];
  /** The type of a message name in `Name{…}` (mutations). */
  structs?: (name: string) => ObjectType | undefined;
}

/** A program, or why there is none: upstream's `ERROR: <input>:1:6: …` with the line and a mark. */
export type CompileResult = { ok: true; program: Program } | { ok: false; error: string };

/** A value of the language, or why there is none. */
export type EvaluateResult = { value: CelValue; error?: undefined } | { value?: undefined; error: string; isBudget: boolean };

const CACHED_PROGRAMS = 4_096;
const CACHED_CHARACTERS = 2_000_000;
const cache = new Map<string, CompileResult>();
const identities = new WeakMap<object, number>();
let cachedCharacters = 0;
let lastIdentity = 0;

/** Checks and compiles an expression; the same text with the same types gives the same program while the cache holds it. */
export function compile(expression: string, options: CompileOptions): CompileResult {
  const key = cacheKey(expression, options);
  const known = cache.get(key);
  if (known) {
    cache.delete(key);
    cache.set(key, known);
    return known;
  }
  const result = compileNow(expression, options);
  cache.set(key, result);
  cachedCharacters += key.length;
  for (const oldest of cache.keys()) {
    if (cache.size <= CACHED_PROGRAMS && cachedCharacters <= CACHED_CHARACTERS) break;
    cache.delete(oldest);
    cachedCharacters -= oldest.length;
  }
  return result;
}

/** A compiled expression. */
export class Program {
  readonly expression: string;
  /** The static type of the result. */
  readonly type: CelType;
  /** The variables that the expression reads. */
  readonly variables: ReadonlySet<string>;
  readonly #node: Node;
  readonly #slots: number;
  #run: Run | undefined;

  constructor(expression: string, node: Node, variables: ReadonlySet<string>, slots: number) {
    this.expression = expression;
    this.type = node.type;
    this.variables = variables;
    this.#node = node;
    this.#slots = slots;
  }

  /** The value for these variables: plain JSON, or values of the language. Failures are answers, not exceptions. */
  evaluate(variables: Readonly<Record<string, unknown>>, budget: Budget = new Budget()): EvaluateResult {
    this.#run ??= compileNode(this.#node);
    const run = this.#run;
    try {
      return { value: budget.spend(within => run({ variables, locals: this.#locals(), budget: within, place: 0 })) };
    } catch (error) {
      return failureOf(error);
    }
  }

  /** The same for expressions that may take long: it stops between elements of loops when `isDue` says so, and goes on at the next step. */
  *steps(variables: Readonly<Record<string, unknown>>, budget: Budget, isDue: () => boolean): Generator<undefined, EvaluateResult> {
    this.#run ??= compileNode(this.#node);
    const run = this.#run;
    const loops: Progress[] = [];
    const stretches = { used: 0, isDue };
    for (;;) {
      try {
        return { value: budget.spend(within => run({ variables, locals: this.#locals(), budget: within, loops, place: 0 }), stretches) };
      } catch (error) {
        if (!(error instanceof Pause)) return failureOf(error);
      }
      yield;
    }
  }

  #locals(): CelValue[] {
    return new Array<CelValue>(this.#slots);
  }

  /** The most that an evaluation can cost, by the sizes that the variables' types allow. */
  estimateCost(): number {
    return estimateNode(this.#node).cost;
  }
}

function failureOf(error: unknown): EvaluateResult {
  if (error instanceof BudgetExceeded) return { error: error.message, isBudget: true };
  if (error instanceof CelError) return { error: error.message, isBudget: false };
  if (error instanceof RangeError) return { error: 'expression recursion limit exceeded', isBudget: false };
  throw error;
}

function compileNow(expression: string, { variables, results, structs }: CompileOptions): CompileResult {
  try {
    const parsed = parseExpression(expression);
    const checker = new Checker({ variables, functions: functionTable(), ...(structs && { structs }) }, parsed);
    const node = checker.check(parsed.root, undefined);
    if (results && !results.some(type => isAssignable(node.type, type)))
      return { ok: false, error: `must evaluate to ${results.map(formatType).join(' or ')}` };
    return { ok: true, program: new Program(expression, node, checker.roots, checker.slots) };
  } catch (error) {
    if (error instanceof CompileError) return { ok: false, error: formatError(expression, error.message, error.offset) };
    throw error;
  }
}

function cacheKey(expression: string, { variables, results, structs }: CompileOptions): string {
  let key = `${structs ? identity(structs) : 0};`;
  for (const name in variables) key += `${name}=${identity(variables[name] as CelType)};`;
  for (const type of results ?? []) key += `>${formatType(type)}`;
  return `${key}\n${expression}`;
}

function identity(of: object): number {
  const known = identities.get(of);
  if (known !== undefined) return known;
  identities.set(of, ++lastIdentity);
  return lastIdentity;
}
