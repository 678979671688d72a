/**
 * The Common Expression Language as Kubernetes uses it: rules of CustomResourceDefinitions, admission policies, match conditions.
 *
 * An expression is read by a library's parser, checked against the types of its variables, and turned into closures over plain JSON: values
 * are wrapped as they are touched, never copied. Every step charges a budget, so that a hostile expression ends. Programs are pure and
 * kept in a bounded cache by text and types; build a `CelType` once (`typeOfSchema`) and hand in the same one each time.
 *
 * Not here: where an expression stands and what its outcome means (the callers'), equality of `x-kubernetes-list-type` sets and maps.
 */
export { Budget, type BudgetOptions } from './budget.ts';
export { CelError, formatError } from './errors.ts';
export {
  type AccessAnswer,
  type AccessQuestion,
  type AskAccess,
  AUTHORIZER,
  authorizerValue,
  RESOURCE_CHECK,
  resourceCheckValue,
} from './libraries/authorizer.ts';
export { escapeField } from './names.ts';
export { type CompileOptions, type CompileResult, compile, type EvaluateResult, type Program } from './program.ts';
export { type CelSchema, typeOfSchema } from './schema-type.ts';
export {
  BOOL,
  BYTES,
  type CelField,
  type CelType,
  DOUBLE,
  DURATION,
  DYN,
  formatType,
  INT,
  listOf,
  mapOf,
  NULL,
  type ObjectType,
  objectOf,
  opaque,
  optionalOf,
  STRING,
  TIMESTAMP,
} from './types.ts';
export { type CelValue, toJson } from './values.ts';
