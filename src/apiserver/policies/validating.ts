import { messageOf, type Reason, UmiakError } from '#base/errors.ts';
import { forbidden, StatusError } from '../status.ts';
import type { AdmissionAttributes } from '../webhooks/attributes.ts';
import type { CompiledExpression } from './environment.ts';
import { Evaluation, type Subject } from './evaluation.ts';
import type { Binding, Policy } from './policy.ts';

/** What a policy found wrong with a request. */
export interface Finding {
  message: string;
  reason: Reason;
  /** Index of the validation, undefined when it is not one. */
  index?: number;
}

/** All that a policy says about one request and one parameter. */
export interface Findings {
  findings: Finding[];
  annotations: Record<string, string>;
}

const MOST_MESSAGE = 5 * 1024;
const MOST_ANNOTATION = 10 * 1024;

/** True when the policy's conditions want the request judged. @throws Error when one fails and none says no */
export function conditionsHold(compiled: readonly CompiledExpression[], evaluation: Evaluation): boolean {
  const errors: string[] = [];
  for (const condition of compiled) {
    if (condition.sort !== 'condition') continue;
    try {
      if (evaluation.run(condition) !== true) return false;
    } catch (error) {
      errors.push(messageOf(error));
    }
  }
  if (errors.length > 0) throw new Error(errors.join(', '));
  return true;
}

/** Evaluates a validating policy. What can't be evaluated is a finding, unless the policy ignores failures. */
export function judge({ spec }: Policy, compiled: readonly CompiledExpression[], subject: Subject): Findings {
  const evaluation = new Evaluation(subject, compiled);
  const result: Findings = { findings: [], annotations: {} };
  const failed = (error: unknown, index?: number) => {
    if (spec.failurePolicy === 'Ignore') return;
    result.findings.push({ message: messageOf(error), reason: 'Invalid', ...(index !== undefined && { index }) });
  };
  try {
    if (!conditionsHold(compiled, evaluation)) return result;
  } catch (error) {
    failed(error);
    return result;
  }
  const messages = new Map(compiled.filter(({ sort }) => sort === 'message').map(each => [each.field, each]));
  const validations = compiled.filter(({ sort }) => sort === 'validation');
  spec.validations?.forEach(({ message, reason, expression }, i) => {
    try {
      if (evaluation.run(validations[i] as CompiledExpression) === true) return;
      const told = tell(messages.get(`spec.validations[${i}].messageExpression`), evaluation);
      result.findings.push({
        message: told ?? (message?.trim() || `failed expression: ${expression.trim()}`),
        reason: (reason ?? 'Invalid') as Reason,
        index: i,
      });
    } catch (error) {
      failed(error, i);
    }
  });
  const annotations = compiled.filter(({ sort }) => sort === 'annotation');
  spec.auditAnnotations?.forEach(({ key }, i) => {
    try {
      const value = evaluation.run(annotations[i] as CompiledExpression);
      if (typeof value === 'string' && value !== '') result.annotations[key] = value.slice(0, MOST_ANNOTATION);
    } catch (error) {
      failed(error);
    }
  });
  return result;
}

/** What a `messageExpression` says; undefined when it fails, or says nothing on one line. */
function tell(expression: CompiledExpression | undefined, evaluation: Evaluation): string | undefined {
  if (!expression) return undefined;
  try {
    const text = evaluation.run(expression);
    const trimmed = typeof text === 'string' ? text.trim() : '';
    return trimmed !== '' && trimmed.length <= MOST_MESSAGE && !trimmed.includes('\n') ? trimmed : undefined;
  } catch {
    return undefined;
  }
}

/** Why a request is refused. */
export type Denial = Pick<Finding, 'message' | 'reason'>;

/** Does what a binding wants done about findings. Gives what the request is refused for. */
export function enforce(
  { metadata: { name } }: Policy,
  { metadata, spec: { validationActions = [] } }: Binding,
  { findings, annotations }: Findings,
  attributes: AdmissionAttributes,
): Denial[] {
  for (const [key, value] of Object.entries(annotations)) annotate(attributes, `${name}/${key}`, value);
  const denials: Denial[] = [];
  for (const { message, reason } of findings) {
    if (validationActions.includes('Warn'))
      attributes.warnings.push(`Validation failed for ValidatingAdmissionPolicy '${name}' with binding '${metadata.name}': ${message}`);
    if (validationActions.includes('Deny')) {
      const told = `ValidatingAdmissionPolicy '${name}' with binding '${metadata.name}' denied request: ${message}`;
      denials.push({ message: told, reason });
    }
  }
  if (findings.length > 0 && validationActions.includes('Audit')) {
    const failures = findings.map(({ message, index }) => ({
      message,
      policy: name,
      binding: metadata.name,
      ...(index !== undefined && { expressionIndex: index }),
      validationActions,
    }));
    const key = 'validation.policy.admission.k8s.io/validation_failure';
    const before = attributes.annotations?.[key];
    annotate(attributes, key, JSON.stringify([...(before ? (JSON.parse(before) as unknown[]) : []), ...failures]));
  }
  return denials;
}

/** The refusal of what a mutating policy could not do: upstream names the reason, and leaves the code at 403. */
export function failure({ served, name }: AdmissionAttributes, message: string): StatusError {
  const { group, plural } = served.resource;
  const details = { ...(name && { name }), ...(group && { group }), kind: plural, causes: [{ reason: '', message }] };
  return new StatusError({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason: 'Invalid',
    details,
    code: 403,
  });
}

/** The refusal that clients read: the first denial's, with all of them as causes. */
export function refusal({ served, name }: AdmissionAttributes, denials: readonly [Denial, ...Denial[]]): UmiakError {
  const [{ message, reason }] = denials;
  const base = forbidden(served.resource, name, message);
  const causes = denials.map(denial => ({ reason: '', message: denial.message, field: '' }));
  return new UmiakError(reason, base.message, { details: { ...base.details, causes } });
}

function annotate({ annotations }: AdmissionAttributes, key: string, value: string): void {
  if (annotations) annotations[key] = value;
}
