import type { FieldCause } from '#base/errors.ts';
import type {
  MatchCondition,
  MatchResources,
  MutatingAdmissionPolicyBindingSpec,
  MutatingAdmissionPolicySpec,
  NamedRuleWithOperations,
  ParamKind,
  ParamRef,
  ValidatingAdmissionPolicyBindingSpec,
  ValidatingAdmissionPolicySpec,
  Validation,
  Variable,
} from './types.gen.ts';
import {
  checkDnsSubdomain,
  checkQualifiedName,
  duplicate,
  invalid,
  notSupported,
  required,
  tooMany,
  validateEnum,
  validateLabelSelector,
} from './validation.ts';
import { validateRule } from './webhook-validation.ts';

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;
const MOST_CONDITIONS = 64;
const MOST_ANNOTATIONS = 20;
const REASONS = ['Unauthorized', 'Forbidden', 'Invalid', 'RequestEntityTooLarge'];
const ACTIONS = ['Audit', 'Deny', 'Warn'];

/** What a client may leave out of a policy. Changes it. */
export function defaultPolicy(spec: ValidatingAdmissionPolicySpec | MutatingAdmissionPolicySpec | undefined): void {
  if (!spec) return;
  spec.failurePolicy ??= 'Fail';
  if (spec.matchConstraints) defaultMatchResources(spec.matchConstraints);
}

/** What a client may leave out of a binding. Changes it. */
export function defaultBinding(spec: { matchResources?: MatchResources | undefined } | undefined): void {
  if (spec?.matchResources) defaultMatchResources(spec.matchResources);
}

function defaultMatchResources(match: MatchResources): void {
  match.matchPolicy ??= 'Equivalent';
  match.namespaceSelector ??= {};
  match.objectSelector ??= {};
  for (const rule of [...(match.resourceRules ?? []), ...(match.excludeResourceRules ?? [])]) rule.scope ??= '*';
}

/** All that is wrong with a validating policy but its expressions' meaning. */
export function validateValidatingPolicy(spec: ValidatingAdmissionPolicySpec): FieldCause[] {
  const { validations = [], auditAnnotations = [] } = spec;
  const causes = validateCommon(spec);
  if (validations.length === 0 && auditAnnotations.length === 0) {
    const why = 'validations or auditAnnotations must contain at least one item';
    causes.push(required('spec.validations', why), required('spec.auditAnnotations', why));
  }
  validations.forEach((validation, i) => {
    causes.push(...validateValidation(validation, `spec.validations[${i}]`));
  });
  if (auditAnnotations.length > MOST_ANNOTATIONS) causes.push(tooMany('spec.auditAnnotations', auditAnnotations.length, MOST_ANNOTATIONS));
  auditAnnotations.forEach(({ key, valueExpression }, i) => {
    const path = `spec.auditAnnotations[${i}]`;
    if (!key) causes.push(required(`${path}.key`));
    else causes.push(...checkQualifiedName(`policy/${key}`).map(why => invalid(`${path}.key`, key, why)));
    if (!valueExpression?.trim()) causes.push(required(`${path}.valueExpression`));
    if (key && auditAnnotations.findIndex(other => other.key === key) < i) causes.push(duplicate(`${path}.key`, key));
  });
  return causes;
}

/** All that is wrong with a mutating policy but its expressions' meaning. */
export function validateMutatingPolicy(spec: MutatingAdmissionPolicySpec): FieldCause[] {
  const { mutations = [], reinvocationPolicy } = spec;
  const causes = validateCommon(spec);
  causes.push(...validateEnum(reinvocationPolicy, ['Never', 'IfNeeded'], 'spec.reinvocationPolicy', true));
  if (mutations.length === 0) causes.push(required('spec.mutations', 'mutations must contain at least one item'));
  mutations.forEach(({ patchType, applyConfiguration, jsonPatch }, i) => {
    const path = `spec.mutations[${i}]`;
    causes.push(...validateEnum(patchType, ['ApplyConfiguration', 'JSONPatch'], `${path}.patchType`, true));
    const [wanted, other] = patchType === 'JSONPatch' ? [jsonPatch, applyConfiguration] : [applyConfiguration, jsonPatch];
    const [field, otherField] = patchType === 'JSONPatch' ? ['jsonPatch', 'applyConfiguration'] : ['applyConfiguration', 'jsonPatch'];
    if (!wanted) causes.push(required(`${path}.${field}`, `must be specified when patchType is ${patchType}`));
    else if (!wanted.expression?.trim()) causes.push(required(`${path}.${field}.expression`));
    if (other) causes.push(invalid(`${path}.${otherField}`, '{}', `must not be specified when patchType is ${patchType}`));
  });
  return causes;
}

/** All that is wrong with a binding. */
export function validateBinding(
  spec: ValidatingAdmissionPolicyBindingSpec | MutatingAdmissionPolicyBindingSpec,
  isValidating: boolean,
): FieldCause[] {
  const { policyName, paramRef, matchResources } = spec;
  const causes: FieldCause[] = [];
  if (!policyName) causes.push(required('spec.policyName'));
  else causes.push(...checkDnsSubdomain(policyName).map(why => invalid('spec.policyName', policyName, why)));
  if (paramRef) causes.push(...validateParamRef(paramRef));
  if (matchResources) causes.push(...validateMatchResources(matchResources, 'spec.matchResources'));
  if (isValidating) causes.push(...validateActions((spec as ValidatingAdmissionPolicyBindingSpec).validationActions));
  return causes;
}

function validateCommon(spec: ValidatingAdmissionPolicySpec | MutatingAdmissionPolicySpec): FieldCause[] {
  const { failurePolicy, paramKind, matchConstraints, matchConditions = [], variables = [] } = spec;
  const causes = validateEnum(failurePolicy, ['Fail', 'Ignore'], 'spec.failurePolicy');
  if (paramKind) causes.push(...validateParamKind(paramKind));
  if (!matchConstraints) causes.push(required('spec.matchConstraints'));
  else {
    if ((matchConstraints.resourceRules ?? []).length === 0) causes.push(required('spec.matchConstraints.resourceRules'));
    causes.push(...validateMatchResources(matchConstraints, 'spec.matchConstraints'));
  }
  causes.push(...validateConditions(matchConditions), ...validateVariables(variables));
  return causes;
}

function validateParamKind({ apiVersion = '', kind = '' }: ParamKind): FieldCause[] {
  const causes: FieldCause[] = [];
  if (!apiVersion) causes.push(required('spec.paramKind.apiVersion'));
  else if (apiVersion.split('/').length > 2)
    causes.push(invalid('spec.paramKind.apiVersion', apiVersion, `unexpected GroupVersion string: ${apiVersion}`));
  if (!kind) causes.push(required('spec.paramKind.kind'));
  return causes;
}

function validateParamRef({ name, selector, parameterNotFoundAction }: ParamRef): FieldCause[] {
  const path = 'spec.paramRef';
  const causes: FieldCause[] = [];
  if (!name && !selector) causes.push(required(path, 'one of name or selector must be specified'));
  if (name && selector) causes.push(invalid(`${path}.name`, name, '`name` and `selector` are mutually exclusive'));
  if (name) causes.push(...checkDnsSubdomain(name).map(why => invalid(`${path}.name`, name, why)));
  causes.push(...validateLabelSelector(selector, `${path}.selector`));
  causes.push(...validateEnum(parameterNotFoundAction, ['Deny', 'Allow'], `${path}.parameterNotFoundAction`, true));
  return causes;
}

function validateMatchResources(match: MatchResources, path: string): FieldCause[] {
  const { resourceRules = [], excludeResourceRules = [], matchPolicy, namespaceSelector, objectSelector } = match;
  return [
    ...validateLabelSelector(namespaceSelector, `${path}.namespaceSelector`),
    ...validateLabelSelector(objectSelector, `${path}.objectSelector`),
    ...validateEnum(matchPolicy, ['Equivalent', 'Exact'], `${path}.matchPolicy`),
    ...resourceRules.flatMap((rule, i) => validateNamedRule(rule, `${path}.resourceRules[${i}]`)),
    ...excludeResourceRules.flatMap((rule, i) => validateNamedRule(rule, `${path}.excludeResourceRules[${i}]`)),
  ];
}

function validateNamedRule(rule: NamedRuleWithOperations, path: string): FieldCause[] {
  const { resourceNames = [] } = rule;
  return [
    ...validateRule(rule, path),
    ...resourceNames.flatMap((name, i) => (resourceNames.indexOf(name) < i ? [duplicate(`${path}.resourceNames[${i}]`, name)] : [])),
  ];
}

function validateConditions(conditions: readonly MatchCondition[]): FieldCause[] {
  const field = 'spec.matchConditions';
  const causes = conditions.length > MOST_CONDITIONS ? [tooMany(field, conditions.length, MOST_CONDITIONS)] : [];
  conditions.forEach(({ name, expression }, i) => {
    if (!name) causes.push(required(`${field}[${i}].name`));
    else causes.push(...checkQualifiedName(name).map(why => invalid(`${field}[${i}].name`, name, why)));
    if (!expression?.trim()) causes.push(required(`${field}[${i}].expression`));
    if (name && conditions.findIndex(other => other.name === name) < i) causes.push(duplicate(`${field}[${i}].name`, name));
  });
  return causes;
}

function validateVariables(variables: readonly Variable[]): FieldCause[] {
  return variables.flatMap(({ name, expression }, i) => {
    const path = `spec.variables[${i}]`;
    const causes: FieldCause[] = [];
    if (!name) causes.push(required(`${path}.name`, 'name is not specified'));
    else if (!IDENTIFIER.test(name)) causes.push(invalid(`${path}.name`, name, 'name is not a valid CEL identifier'));
    else if (variables.findIndex(other => other.name === name) < i) causes.push(duplicate(`${path}.name`, name));
    if (!expression?.trim()) causes.push(required(`${path}.expression`, 'expression is not specified'));
    return causes;
  });
}

function validateValidation({ expression, message, messageExpression, reason }: Validation, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  if (!expression?.trim()) causes.push(required(`${path}.expression`, 'expression is not specified'));
  if (messageExpression !== undefined && messageExpression.trim() === '')
    causes.push(invalid(`${path}.messageExpression`, messageExpression, 'must be non-empty if specified'));
  if (message !== undefined && message !== '' && message.trim() === '')
    causes.push(invalid(`${path}.message`, message, 'message must be non-empty if specified'));
  else if (message?.trim().includes('\n')) causes.push(invalid(`${path}.message`, message, 'message must not contain line breaks'));
  else if (!message && expression?.trim().includes('\n'))
    causes.push(required(`${path}.message`, 'message must be specified if expression contains line breaks'));
  if (reason !== undefined && !REASONS.includes(reason)) causes.push(notSupported(`${path}.reason`, reason, REASONS));
  return causes;
}

function validateActions(actions: readonly string[] = []): FieldCause[] {
  const field = 'spec.validationActions';
  const causes: FieldCause[] = [];
  if (actions.length === 0) causes.push(required(field, 'at least one validation action is required'));
  actions.forEach((action, i) => {
    if (!ACTIONS.includes(action)) causes.push(notSupported(`${field}[${i}]`, action, ACTIONS));
    else if (actions.indexOf(action) < i) causes.push(duplicate(`${field}[${i}]`, action));
  });
  if (actions.includes('Deny') && actions.includes('Warn'))
    causes.push(
      invalid(
        field,
        ['Deny', 'Warn'],
        'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
      ),
    );
  return causes;
}
