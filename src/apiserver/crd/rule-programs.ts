import type { CelType, CompileResult, Program } from '#cel/index.ts';
import type { CrdSchema } from '#kinds/crd-schema.ts';
import type { ValidationRule } from '#kinds/types.gen.ts';
import { expressions } from './expressions.ts';

/** One rule of `x-kubernetes-validations`, or why it is none. */
export interface CompiledRule {
  rule: ValidationRule;
  program: CompileResult;
  /** Absent without a messageExpression. */
  message: CompileResult | undefined;
  /** It speaks of what stood there before. */
  isTransition: boolean;
}

/** The type of what the rules of this schema see. */
export function typeAt(schema: CrdSchema, isRoot: boolean): CelType {
  const { cel } = expressions();
  const isResource = isRoot || schema['x-kubernetes-embedded-resource'] === true;
  return cel.typeOfSchema(schema as Parameters<typeof cel.typeOfSchema>[0], { isResource });
}

/** Compiles one of a schema's `x-kubernetes-validations`, which sees values of the type. */
export function compileRule(rule: ValidationRule, type: CelType): CompiledRule {
  const { cel } = expressions();
  const oldSelf = rule.optionalOldSelf ? cel.optionalOf(type) : type;
  const variables = { self: type, oldSelf };
  const program = cel.compile(rule.rule, { variables, results: [cel.BOOL] });
  const message = rule.messageExpression ? cel.compile(rule.messageExpression, { variables, results: [cel.STRING] }) : undefined;
  return { rule, program, message, isTransition: usesOldSelf(program) };
}

function usesOldSelf(result: CompileResult): boolean {
  return result.ok && (result.program as Program).variables.has('oldSelf');
}

const withRules = new WeakMap<CrdSchema, boolean>();

/** Whether there are rules in this schema or below. */
export function hasRules(schema: CrdSchema): boolean {
  // Others say that it is no schema.
  if (typeof schema !== 'object' || schema === null) return false;
  const known = withRules.get(schema);
  if (known !== undefined) return known;
  const { properties = {}, items, additionalProperties } = schema;
  const found =
    (schema['x-kubernetes-validations']?.length ?? 0) > 0 ||
    Object.values(properties).some(hasRules) ||
    (items !== undefined && hasRules(items)) ||
    (typeof additionalProperties === 'object' && hasRules(additionalProperties));
  withRules.set(schema, found);
  return found;
}
