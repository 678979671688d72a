import type { FieldCause } from '#base/errors.ts';
import { selectorMatches } from '#base/label-selector.ts';
import { isMeaningEqual } from './json-equal.ts';
import { validatePodTemplate } from './pod-validation.ts';
import type * as types from './types.gen.ts';
import {
  checkDnsSubdomain,
  checkQualifiedName,
  duplicate,
  invalid,
  required,
  tooLong,
  tooMany,
  validateEnum,
  validateImmutable,
  validateLabelSelector,
  validateNonNegative,
} from './validation.ts';

const MOST_RULES = 20;
const MOST_EXIT_CODES = 255;
const MOST_PARALLEL_INDEXES = 100_000;
/** With more completions than `MOST_PARALLEL_INDEXES`, limits per index may be used up to here. */
const MOST_OF_MANY = 10_000;
const LONGEST_MANAGED_BY = 63;
const LONGEST_INDEXES = 65_536;
const COUNTS = [
  'parallelism',
  'completions',
  'activeDeadlineSeconds',
  'backoffLimit',
  'ttlSecondsAfterFinished',
  'backoffLimitPerIndex',
  'maxFailedIndexes',
] as const;

/** A Job's spec, alone or in a CronJob's template. */
export function validateJobSpec(spec: types.JobSpec, path: string): FieldCause[] {
  const causes = validateNonNegative(spec, COUNTS, path);
  causes.push(...validateManagedBy(spec.managedBy, `${path}.managedBy`));
  causes.push(...validateEnum(spec.completionMode, ['NonIndexed', 'Indexed'], `${path}.completionMode`), ...validateIndexing(spec, path));
  causes.push(...validateFailurePolicy(spec, `${path}.podFailurePolicy`), ...validateSuccessPolicy(spec, `${path}.successPolicy`));
  const replacement = spec.podFailurePolicy ? ['Failed'] : ['Failed', 'TerminatingOrFailed'];
  causes.push(...validateEnum(spec.podReplacementPolicy, replacement, `${path}.podReplacementPolicy`));
  causes.push(...validatePodTemplate(spec.template, `${path}.template`));
  return [...causes, ...validateRestartPolicy(spec, `${path}.template.spec.restartPolicy`)];
}

/** A Job's selector: the server's own, or a person's that fits the template. */
export function validateJobSelector({ metadata, spec }: types.Job, generated: Record<string, string>): FieldCause[] {
  const { selector, template } = spec;
  if (!selector) return [required('spec.selector')];
  const causes = validateLabelSelector(selector, 'spec.selector');
  if (causes.length > 0) return causes;
  if (!spec.manualSelector && metadata.uid && !selectorMatches(selector, generated))
    causes.push(invalid('spec.selector', selector, '`selector` not auto-generated'));
  const labels = template.metadata?.labels;
  if (!selectorMatches(selector, labels))
    causes.push(invalid('spec.template.metadata.labels', labels ?? {}, '`selector` does not match template `labels`'));
  return causes;
}

/** What a Job may not change; of a suspended one's template more may than of one that runs. */
export function validateJobUpdate({ spec }: types.Job, old: types.Job): FieldCause[] {
  const causes = (
    ['selector', 'completionMode', 'podFailurePolicy', 'backoffLimitPerIndex', 'managedBy', 'successPolicy'] as const
  ).flatMap(key => (isMeaningEqual(spec[key], old.spec[key]) ? [] : [invalid(`spec.${key}`, spec[key] ?? null, 'field is immutable')]));
  if (spec.completionMode !== 'Indexed') causes.push(...validateImmutable(spec.completions, old.spec.completions, 'spec.completions'));
  else if (spec.completions !== old.spec.completions && spec.completions !== spec.parallelism)
    causes.push(invalid('spec.completions', spec.completions, 'can only be modified in tandem with spec.parallelism'));
  const isSuspended = old.status?.conditions?.some(({ type, status }) => type === 'Suspended' && status === 'True');
  const mayMove = old.spec.suspend === true && (!old.status?.startTime || isSuspended === true);
  const template = mayMove ? withPlacementOf(spec.template, old.spec.template) : spec.template;
  if (!isMeaningEqual(template, old.spec.template)) causes.push(invalid('spec.template', spec.template, 'field is immutable'));
  return causes;
}

/** The template as it was, where it may change as long as no pod runs. */
function withPlacementOf(template: types.PodTemplateSpec, old: types.PodTemplateSpec): types.PodTemplateSpec {
  const { nodeSelector, tolerations, schedulingGates } = old.spec;
  const affinity = { ...template.spec.affinity, nodeAffinity: old.spec.affinity?.nodeAffinity };
  const { labels, annotations } = old.metadata ?? {};
  const containers = template.spec.containers.map((one, i) => ({ ...one, resources: old.spec.containers[i]?.resources }));
  return {
    ...template,
    metadata: { ...template.metadata, labels, annotations },
    spec: { ...template.spec, nodeSelector, affinity, tolerations, schedulingGates, containers },
  };
}

function validateManagedBy(managedBy: string | undefined, field: string): FieldCause[] {
  if (managedBy === undefined) return [];
  if (managedBy === '') return [required(field)];
  if (managedBy.length > LONGEST_MANAGED_BY) return [tooLong(field, LONGEST_MANAGED_BY)];
  const slash = managedBy.indexOf('/');
  if (slash <= 0 || slash === managedBy.length - 1)
    return [invalid(field, managedBy, 'must be a domain-prefixed path (such as "acme.io/foo")')];
  return checkDnsSubdomain(managedBy.slice(0, slash)).map(why => invalid(field, managedBy.slice(0, slash), why));
}

function validateIndexing(spec: types.JobSpec, path: string): FieldCause[] {
  const { completions, parallelism = 1, backoffLimitPerIndex, maxFailedIndexes } = spec;
  const causes: FieldCause[] = [];
  if (maxFailedIndexes !== undefined && backoffLimitPerIndex === undefined)
    causes.push(required(`${path}.backoffLimitPerIndex`, 'when maxFailedIndexes is specified'));
  if (spec.completionMode !== 'Indexed') {
    for (const key of ['backoffLimitPerIndex', 'maxFailedIndexes', 'successPolicy'] as const)
      if (spec[key] !== undefined) causes.push(invalid(`${path}.${key}`, spec[key], 'requires indexed completion mode'));
    return causes;
  }
  if (completions === undefined) return [...causes, required(`${path}.completions`, 'when completion mode is Indexed')];
  const atMost = (key: 'parallelism' | 'maxFailedIndexes', most: number, when: string) => {
    if ((spec[key] ?? 0) > most) causes.push(invalid(`${path}.${key}`, spec[key], `must be less than or equal to ${most}${when}`));
  };
  atMost('parallelism', MOST_PARALLEL_INDEXES, ' when completion mode is Indexed');
  if (maxFailedIndexes !== undefined && maxFailedIndexes > completions)
    causes.push(invalid(`${path}.maxFailedIndexes`, maxFailedIndexes, 'must be less than or equal to completions'));
  atMost('maxFailedIndexes', MOST_PARALLEL_INDEXES, '');
  if (backoffLimitPerIndex === undefined || completions <= MOST_PARALLEL_INDEXES) return causes;
  const when = ` when completions are above ${MOST_PARALLEL_INDEXES} and used with backoff limit per index`;
  if (maxFailedIndexes === undefined)
    causes.push(required(`${path}.maxFailedIndexes`, `must be specified when completions is above ${MOST_PARALLEL_INDEXES}`));
  if (parallelism <= MOST_PARALLEL_INDEXES) atMost('parallelism', MOST_OF_MANY, when);
  atMost('maxFailedIndexes', MOST_OF_MANY, when);
  return causes;
}

function validateRestartPolicy({ template, podFailurePolicy }: types.JobSpec, field: string): FieldCause[] {
  const { restartPolicy } = template.spec;
  if (!restartPolicy || restartPolicy === 'Always') return [required(field, 'valid values: "OnFailure", "Never"')];
  const causes = validateEnum(restartPolicy, ['OnFailure', 'Never'], field);
  if (podFailurePolicy && restartPolicy !== 'Never')
    causes.push(invalid(field, restartPolicy, 'only "Never" is supported when podFailurePolicy is specified'));
  return causes;
}

function validateFailurePolicy({ podFailurePolicy, backoffLimitPerIndex, template }: types.JobSpec, path: string): FieldCause[] {
  const { rules = [] } = podFailurePolicy ?? {};
  if (rules.length > MOST_RULES) return [tooMany(`${path}.rules`, rules.length, MOST_RULES)];
  const containers = new Set([...(template.spec.containers ?? []), ...(template.spec.initContainers ?? [])].map(({ name }) => name));
  return rules.flatMap(({ action, onExitCodes, onPodConditions = [] }, i) => {
    const at = `${path}.rules[${i}]`;
    const causes = action
      ? validateEnum(action, ['Count', 'FailIndex', 'FailJob', 'Ignore'], `${at}.action`)
      : [required(`${at}.action`, 'valid values: ["Count" "FailIndex" "FailJob" "Ignore"]')];
    if (action === 'FailIndex' && backoffLimitPerIndex === undefined)
      causes.push(invalid(`${at}.action`, action, 'requires the backoffLimitPerIndex to be set'));
    if (onExitCodes && onPodConditions.length > 0)
      causes.push(invalidWhole(at, 'specifying both OnExitCodes and OnPodConditions is not supported'));
    if (!onExitCodes && onPodConditions.length === 0)
      causes.push(invalidWhole(at, 'specifying one of OnExitCodes and OnPodConditions is required'));
    if (onExitCodes) causes.push(...validateExitCodes(onExitCodes, containers, `${at}.onExitCodes`));
    if (onPodConditions.length > MOST_RULES) causes.push(tooMany(`${at}.onPodConditions`, onPodConditions.length, MOST_RULES));
    onPodConditions.slice(0, MOST_RULES).forEach(({ type, status }, j) => {
      causes.push(...checkQualifiedName(type).map(why => invalid(`${at}.onPodConditions[${j}].type`, type, why)));
      causes.push(...validateEnum(status, ['False', 'True', 'Unknown'], `${at}.onPodConditions[${j}].status`, true));
    });
    return causes;
  });
}

/** Without the value, as upstream leaves it out here. */
function invalidWhole(field: string, why: string): FieldCause {
  return { reason: 'FieldValueInvalid', message: `Invalid value: ${why}`, field };
}

function validateExitCodes(
  { operator, values = [], containerName }: types.PodFailurePolicyOnExitCodesRequirement,
  containers: ReadonlySet<string>,
  path: string,
): FieldCause[] {
  const causes = operator
    ? validateEnum(operator, ['In', 'NotIn'], `${path}.operator`)
    : [required(`${path}.operator`, 'valid values: ["In" "NotIn"]')];
  if (containerName !== undefined && !containers.has(containerName)) {
    const why = 'must be one of the container or initContainer names in the pod template';
    causes.push(invalid(`${path}.containerName`, containerName, why));
  }
  if (values.length === 0) causes.push(invalid(`${path}.values`, values, 'at least one value is required'));
  if (values.length > MOST_EXIT_CODES) return [...causes, tooMany(`${path}.values`, values.length, MOST_EXIT_CODES)];
  const seen = new Set<number>();
  values.forEach((value, i) => {
    if (operator === 'In' && value === 0) causes.push(invalid(`${path}.values[${i}]`, value, 'must not be 0 for the In operator'));
    if (seen.has(value)) causes.push(duplicate(`${path}.values[${i}]`, value));
    seen.add(value);
  });
  if (values.some((value, i) => i > 0 && value < (values[i - 1] ?? value)))
    causes.push(invalid(`${path}.values`, values, 'must be ordered'));
  return causes;
}

function validateSuccessPolicy({ successPolicy, completions }: types.JobSpec, path: string): FieldCause[] {
  if (!successPolicy) return [];
  const { rules = [] } = successPolicy;
  if (rules.length === 0) return [required(`${path}.rules`, 'at least one rules must be specified when the successPolicy is specified')];
  if (rules.length > MOST_RULES) return [tooMany(`${path}.rules`, rules.length, MOST_RULES)];
  return rules.flatMap(({ succeededCount, succeededIndexes }, i) => {
    const at = `${path}.rules[${i}]`;
    if (succeededCount === undefined && succeededIndexes === undefined)
      return [required(at, 'at least one of succeededCount or succeededIndexes must be specified')];
    const causes: FieldCause[] = [];
    const { total, problem } = countIndexes(succeededIndexes, completions ?? 0);
    if (problem && succeededIndexes !== undefined) {
      if (succeededIndexes.length > LONGEST_INDEXES) causes.push(tooLong(`${at}.succeededIndexes`, LONGEST_INDEXES));
      else causes.push(invalid(`${at}.succeededIndexes`, succeededIndexes, `error parsing succeededIndexes: ${problem}`));
    }
    if (succeededCount === undefined) return causes;
    if (succeededCount < 0) causes.push(invalid(`${at}.succeededCount`, succeededCount, 'must be greater than or equal to 0'));
    const tooHigh = (most: number, what: string) =>
      causes.push(invalid(`${at}.succeededCount`, succeededCount, `must be less than or equal to ${most} (the number of ${what})`));
    if (completions !== undefined && succeededCount > completions) tooHigh(completions, 'specified completions');
    if (succeededIndexes !== undefined && !problem && succeededCount > total)
      tooHigh(total, 'indexes in the specified succeededIndexes field');
    return causes;
  });
}

/** How many indexes `1,3-5` names, or what is wrong with it. */
function countIndexes(text: string | undefined, completions: number): { total: number; problem?: string } {
  if (text === undefined) return { total: 0 };
  if (text === '' || text.length > LONGEST_INDEXES) return { total: 0, problem: 'the indexes are empty or too long' };
  let total = 0;
  let previous = -1;
  for (const part of text.split(',')) {
    const match = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part);
    if (!match) return { total: 0, problem: `cannot convert string to integer for index: ${JSON.stringify(part)}` };
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (last >= completions) return { total: 0, problem: `too large index: ${JSON.stringify(String(last))}` };
    if (first <= previous) return { total: 0, problem: `non-increasing order, previous: ${previous}, current: ${first}` };
    if (last < first) return { total: 0, problem: `non-increasing order, previous: ${first}, current: ${last}` };
    total += last - first + 1;
    previous = last;
  }
  return { total };
}
