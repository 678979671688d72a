import type { KubeObject } from '#kinds/kind.ts';
import type {
  AuditAnnotation,
  MatchCondition,
  MatchResources,
  MutatingAdmissionPolicy,
  Mutation,
  ParamKind,
  ParamRef,
  ValidatingAdmissionPolicy,
  Validation,
  Variable,
} from '#kinds/types.gen.ts';

/** What policies of both sorts say. */
export interface PolicySpec {
  paramKind?: ParamKind | undefined;
  matchConstraints?: MatchResources | undefined;
  matchConditions?: MatchCondition[] | undefined;
  variables?: Variable[] | undefined;
  failurePolicy?: string | undefined;
  validations?: Validation[] | undefined;
  auditAnnotations?: AuditAnnotation[] | undefined;
  mutations?: Mutation[] | undefined;
  reinvocationPolicy?: string | undefined;
}

/** A policy of either sort. */
export type Policy = KubeObject & { spec: PolicySpec } & (ValidatingAdmissionPolicy | MutatingAdmissionPolicy);

/** A binding of either sort. */
export type Binding = KubeObject & {
  spec: {
    policyName?: string | undefined;
    paramRef?: ParamRef | undefined;
    matchResources?: MatchResources | undefined;
    validationActions?: string[] | undefined;
  };
};

/** Where an expression stands in a policy, and what it must give. */
export interface PlacedExpression {
  field: string;
  expression: string;
  sort: 'condition' | 'variable' | 'validation' | 'message' | 'annotation' | 'applyConfiguration' | 'jsonPatch';
  /** Of a variable. */
  name?: string;
}

/** Every expression of a policy in the order in which they may refer to one another. */
export function expressionsOf({
  matchConditions = [],
  variables = [],
  validations = [],
  auditAnnotations = [],
  mutations = [],
}: PolicySpec): PlacedExpression[] {
  return [
    ...matchConditions.map(({ expression }, i) => placed(`matchConditions[${i}].expression`, expression, 'condition')),
    ...variables.map(({ name, expression }, i) => ({ ...placed(`variables[${i}].expression`, expression, 'variable'), name })),
    ...validations.flatMap(({ expression, messageExpression }, i) => [
      placed(`validations[${i}].expression`, expression, 'validation'),
      ...(messageExpression ? [placed(`validations[${i}].messageExpression`, messageExpression, 'message')] : []),
    ]),
    ...auditAnnotations.map(({ valueExpression }, i) => placed(`auditAnnotations[${i}].valueExpression`, valueExpression, 'annotation')),
    ...mutations.flatMap(({ applyConfiguration, jsonPatch }, i) => [
      ...(applyConfiguration?.expression
        ? [placed(`mutations[${i}].applyConfiguration.expression`, applyConfiguration.expression, 'applyConfiguration')]
        : []),
      ...(jsonPatch?.expression ? [placed(`mutations[${i}].jsonPatch.expression`, jsonPatch.expression, 'jsonPatch')] : []),
    ]),
  ];
}

function placed(field: string, expression: string, sort: PlacedExpression['sort']): PlacedExpression {
  return { field: `spec.${field}`, expression, sort };
}
