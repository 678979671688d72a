import type { FieldCause } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import type { Budget, CelType, CelValue } from '#cel/index.ts';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import { duplicate, forbidden, invalid, required } from '#kinds/field-errors.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import type { ValidationRule } from '#kinds/types.gen.ts';
import { isSliceOver } from '../slices.ts';
import { expressions } from './expressions.ts';
import { fieldAt, type Path } from './field-path.ts';
import { fieldNamesOf } from './json-path.ts';
import { keyOfElement } from './list-types.ts';
import { type CompiledRule, compileRule, hasRules, typeAt } from './rule-programs.ts';

/** All rules of a schema, judged on a value; `old` is what it replaces. A piece at a time: rules may take long. */
export type Rules = (value: unknown, old?: unknown) => Generator<undefined, FieldCause[]>;

/** Longer than elsewhere: rules pause for others, and what those take counts, too, on a busy machine. */
const MOST_MS = 2_000;

/** What stood at the same place before; absent where nothing did or where that can't be told. */
interface Before {
  old: unknown;
}

/** One judgement under way. */
interface Judgement {
  causes: FieldCause[];
  budget: Budget;
  /** The budget is spent: no further rule is looked at. */
  isOver: boolean;
}

/** Compiles a schema's rules; undefined when it has none. What a value shares with `old` is not judged again. */
export function rulesOf(schema: CrdSchema): Rules | undefined {
  if (!hasRules(schema)) return undefined;
  const root = new RuleNode(schema, true);
  return function* (value, old) {
    const judgement: Judgement = { causes: [], budget: new (expressions().cel.Budget)({ wallMs: MOST_MS }), isOver: false };
    yield* root.judge(value, old === undefined ? undefined : { old }, [], judgement);
    return judgement.causes;
  };
}

class RuleNode {
  readonly #schema: CrdSchema;
  readonly #isRoot: boolean;
  readonly #children = new Map<string, RuleNode | undefined>();
  #type: CelType | undefined;
  readonly #rules: CompiledRule[] = [];

  constructor(schema: CrdSchema, isRoot = false) {
    this.#schema = schema;
    this.#isRoot = isRoot;
  }

  *judge(value: unknown, before: Before | undefined, path: Path, judgement: Judgement): Generator<undefined> {
    if (judgement.isOver || value === null || value === undefined) return;
    if (before && jsonEqual(value, before.old)) return; // as it was: let in by the rules of its day
    if (this.#schema['x-kubernetes-validations']?.length) yield* this.#judgeHere(value, before, path, judgement);
    if (Array.isArray(value)) yield* this.#judgeList(value, before, path, judgement);
    else if (isObject(value)) {
      const old = before && isObject(before.old) ? before.old : undefined;
      for (const key in value) {
        const child = this.#childAt(key);
        if (!child) continue;
        path.push(key);
        yield* child.judge(value[key], old && Object.hasOwn(old, key) ? { old: old[key] } : undefined, path, judgement);
        path.pop();
      }
    }
  }

  *#judgeHere(value: unknown, before: Before | undefined, path: Path, judgement: Judgement): Generator<undefined> {
    this.#type ??= typeAt(this.#schema, this.#isRoot);
    const celType = this.#type;
    for (const [i, written] of (this.#schema['x-kubernetes-validations'] ?? []).entries()) {
      yield;
      this.#rules[i] ??= compileRule(written, celType);
      const rule = this.#rules[i];
      if (rule.isTransition && !before && !rule.rule.optionalOldSelf) continue;
      yield* judgeRule(rule, { value, before, path, type: this.#schema.type ?? '', celType }, judgement);
      if (judgement.isOver) return;
    }
  }

  *#judgeList(list: unknown[], before: Before | undefined, path: Path, judgement: Judgement): Generator<undefined> {
    const child = this.#nodeFor('[]', this.#schema.items);
    if (!child) return;
    const keys = this.#schema['x-kubernetes-list-type'] === 'map' ? this.#schema['x-kubernetes-list-map-keys'] : undefined;
    const olds =
      keys && before && Array.isArray(before.old) ? new Map(before.old.map(item => [keyOfElement(item, keys), item])) : undefined;
    for (const [i, item] of list.entries()) {
      const old = olds?.get(keyOfElement(item, keys));
      path.push(i);
      yield* child.judge(item, old === undefined ? undefined : { old }, path, judgement);
      path.pop();
    }
  }

  #childAt(key: string): RuleNode | undefined {
    const { properties, additionalProperties } = this.#schema;
    if (properties && Object.hasOwn(properties, key)) return this.#nodeFor(`.${key}`, properties[key]);
    return typeof additionalProperties === 'object' ? this.#nodeFor('{}', additionalProperties) : undefined;
  }

  #nodeFor(name: string, schema: CrdSchema | undefined): RuleNode | undefined {
    if (!schema) return undefined;
    if (!this.#children.has(name)) this.#children.set(name, hasRules(schema) ? new RuleNode(schema) : undefined);
    return this.#children.get(name);
  }
}

interface Subject {
  value: unknown;
  before: Before | undefined;
  path: Path;
  type: string;
  celType: CelType;
}

function optionally(before: Before | undefined, type: CelType): CelValue {
  const { Optional, toValue } = expressions().values;
  return before ? Optional.of(toValue(before.old, type)) : Optional.NONE;
}

function* judgeRule(
  { rule, program, message }: CompiledRule,
  { value, before, path, type, celType }: Subject,
  judgement: Judgement,
): Generator<undefined> {
  const { causes, budget } = judgement;
  if (!program.ok) {
    causes.push(invalid(fieldAt(path), type, `rule compile error: compilation failed: ${program.error}`));
    return;
  }
  const oldSelf = rule.optionalOldSelf ? optionally(before, celType) : before?.old;
  const variables = { self: value, oldSelf };
  const result = yield* program.program.steps(variables, budget, isSliceOver);
  if (result.error !== undefined) {
    judgement.isOver = result.isBudget;
    causes.push(invalid(fieldAt(path), type, failureOf(rule, result, budget)));
    return;
  }
  if (result.value === true) return;
  const at = fieldAt([...path, ...(rule.fieldPath ? (fieldNamesOf(rule.fieldPath) ?? []) : [])]);
  const made = message?.ok ? yield* message.program.steps(variables, budget, isSliceOver) : undefined;
  const text = typeof made?.value === 'string' ? made.value.trim() : '';
  const isUsable = text !== '' && !text.includes('\n') && Buffer.byteLength(text) <= 5120;
  causes.push(toCause(rule, at, value, isUsable ? text : messageOf(rule)));
}

function failureOf(rule: ValidationRule, { error, isBudget }: { error: string; isBudget: boolean }, budget: Budget): string {
  if (!isBudget) return `${error} evaluating rule: ${nameOf(rule)}`;
  return budget.remaining > 0
    ? `call cost exceeds limit for rule: ${nameOf(rule)}. No further validation rules will be run`
    : 'validation failed due to running out of cost budget, no further validation rules will be run';
}

function nameOf({ rule, message }: ValidationRule): string {
  return (message || rule).trim();
}

function messageOf({ rule, message }: ValidationRule): string {
  return message ? message.trim() : `failed rule: ${rule.trim()}`;
}

/** Whole objects and lists are not repeated in messages. */
function toCause({ reason }: ValidationRule, field: string, value: unknown, why: string): FieldCause {
  switch (reason) {
    case 'FieldValueForbidden':
      return forbidden(field, why);
    case 'FieldValueRequired':
      return required(field, why);
    case 'FieldValueDuplicate':
      return duplicate(field, value);
    default:
      return typeof value === 'object'
        ? { reason: 'FieldValueInvalid', message: `Invalid value: ${why}`, field }
        : invalid(field, value, why);
  }
}
