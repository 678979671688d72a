import type { FieldCause } from '#base/errors.ts';
import type { CelType } from '#cel/index.ts';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import { forbidden, invalid, notSupported, required } from '#kinds/field-errors.ts';
import { fieldNamesOf } from './json-path.ts';
import { type CompiledRule, compileRule, hasRules, typeAt } from './rule-programs.ts';

/** What one rule may be estimated to cost, over all the values it may be asked of; and all rules of a schema together. */
const MOST_RULE_COST = 10_000_000;
const MOST_TOTAL_COST = 100_000_000;
const REASONS = ['FieldValueInvalid', 'FieldValueForbidden', 'FieldValueRequired', 'FieldValueDuplicate'];
const ADVICE = 'try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared';

/** Where a schema stands, as far as its rules are concerned. */
interface Place {
  at: string;
  /** How many values of the schema there can be in one object. */
  cardinality: number;
  /** Set where an element can't be told from others: nothing is known of what stood there before. */
  unordered: string | undefined;
  isRoot: boolean;
}

interface Cost {
  field: string;
  cost: number;
}

/** What is wrong with the rules of a schema: they don't compile, or cost too much. Rule by rule. */
export function* ruleCauses(schema: CrdSchema, at: string): Generator<FieldCause[]> {
  const costs: Cost[] = [];
  yield* visit(schema, { at, cardinality: 1, unordered: undefined, isRoot: true }, costs);
  const total = costs.reduce((sum, { cost }) => sum + cost, 0);
  if (total <= MOST_TOTAL_COST) return;
  const causes: FieldCause[] = [];
  for (const { field, cost } of costs)
    if (cost > MOST_TOTAL_COST / 100)
      causes.push(
        forbidden(field, 'contributed to estimated rule & messageExpression cost total exceeding cost limit for entire OpenAPIv3 schema'),
      );
  const factor = factorOf(total, MOST_TOTAL_COST);
  causes.push(
    forbidden(
      at,
      `x-kubernetes-validations estimated rule & messageExpression cost total for entire OpenAPIv3 schema exceeds budget by factor of ${factor} (${ADVICE})`,
    ),
  );
  yield causes;
}

function* visit(schema: CrdSchema, place: Place, costs: Cost[]): Generator<FieldCause[]> {
  if (!hasRules(schema)) return;
  const { at, cardinality } = place;
  const type = typeAt(schema, place.isRoot);
  for (const [i, rule] of (schema['x-kubernetes-validations'] ?? []).entries())
    yield judge(compileRule(rule, type), { ...place, at: `${at}.x-kubernetes-validations[${i}]` }, costs);
  const below = { cardinality, unordered: place.unordered, isRoot: false };
  for (const [key, child] of Object.entries(schema.properties ?? {}))
    yield* visit(child, { ...below, at: `${at}.properties[${key}]` }, costs);
  const many = { ...below, cardinality: Math.min(Number.MAX_SAFE_INTEGER, cardinality * mostIn(type)) };
  if (schema.items) {
    const isTold = schema['x-kubernetes-list-type'] === 'map';
    yield* visit(schema.items, { ...many, at: `${at}.items`, unordered: isTold ? many.unordered : at }, costs);
  }
  if (typeof schema.additionalProperties === 'object')
    yield* visit(schema.additionalProperties, { ...many, at: `${at}.additionalProperties` }, costs);
}

function mostIn(type: CelType): number {
  return type.maxSize ?? Number.MAX_SAFE_INTEGER;
}

function judge(compiled: CompiledRule, { at, cardinality, unordered }: Place, costs: Cost[]): FieldCause[] {
  const { rule, program, message, isTransition } = compiled;
  const causes = formCauses(compiled, at);
  if (rule.rule.trim() === '') return causes;
  if (!program.ok) causes.push(invalid(`${at}.rule`, rule.rule, `compilation failed: ${program.error}`));
  else {
    if (isTransition && unordered !== undefined)
      causes.push(
        invalid(`${at}.rule`, rule.rule, `oldSelf cannot be used on the uncorrelatable portion of the schema within ${unordered}`),
      );
    price(`${at}.rule`, 'rule', program.program.estimateCost() * cardinality);
  }
  if (!message) return causes;
  if (!message.ok)
    causes.push(invalid(`${at}.messageExpression`, rule.messageExpression, `messageExpression compilation failed: ${message.error}`));
  else price(`${at}.messageExpression`, 'messageExpression', message.program.estimateCost() * cardinality);
  return causes;

  function price(field: string, what: string, cost: number): void {
    costs.push({ field, cost });
    if (cost > MOST_RULE_COST)
      causes.push(forbidden(field, `estimated ${what} cost exceeds budget by factor of ${factorOf(cost, MOST_RULE_COST)} (${ADVICE})`));
  }
}

function formCauses({ rule: { rule, message, reason, fieldPath, optionalOldSelf }, isTransition }: CompiledRule, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  if (rule.trim() === '') causes.push(required(`${at}.rule`, 'rule is not specified'));
  if (message !== undefined && message !== '' && message.trim() === '')
    causes.push(invalid(`${at}.message`, message, 'message must be non-empty if specified'));
  else if (message?.trim().includes('\n')) causes.push(invalid(`${at}.message`, message, 'message must not contain line breaks'));
  else if (!message && rule.trim().includes('\n'))
    causes.push(required(`${at}.message`, 'message must be specified if rule contains line breaks'));
  if (reason && !REASONS.includes(reason)) causes.push(notSupported(`${at}.reason`, reason, REASONS));
  if (fieldPath !== undefined && !fieldNamesOf(fieldPath))
    causes.push(invalid(`${at}.fieldPath`, fieldPath, 'fieldPath must be a valid path'));
  if (optionalOldSelf && !isTransition)
    causes.push(invalid(`${at}.optionalOldSelf`, true, 'may not be set if oldSelf is not used in rule'));
  return causes;
}

function factorOf(cost: number, most: number): string {
  const factor = cost / most;
  if (factor > 100) return 'more than 100x';
  return factor < 1.5 ? `${factor.toFixed(6)}x` : `${factor.toFixed(1)}x`;
}
