import type { FieldCause } from '#base/errors.ts';
import { validateLabelKeys } from './label-keys.ts';
import type {
  Affinity,
  NodeSelector,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  PodAffinityTerm,
  Toleration,
  TopologySpreadConstraint,
} from './types.gen.ts';
import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkLabelValue,
  checkQualifiedName,
  duplicate,
  forbidden,
  invalid,
  notSupported,
  required,
  validateEnum,
  validateLabelSelector,
} from './validation.ts';

const SPREAD_ACTIONS = ['DoNotSchedule', 'ScheduleAnyway'];
const NOT_AN_OPERATOR = 'not a valid selector operator';

/** Node affinity, pod affinity and anti-affinity. */
export function validateAffinity(affinity: Affinity | undefined, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  const selector = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (selector) causes.push(...validateNodeSelector(selector, `${path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution`));
  affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution?.forEach(({ weight, preference }, i) => {
    const field = `${path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[${i}]`;
    causes.push(...validateWeight(weight, `${field}.weight`), ...validateNodeTerm(preference, `${field}.preference`, true));
  });
  for (const key of ['podAffinity', 'podAntiAffinity'] as const) {
    const { requiredDuringSchedulingIgnoredDuringExecution: hard, preferredDuringSchedulingIgnoredDuringExecution: soft } =
      affinity?.[key] ?? {};
    hard?.forEach((term, i) => {
      causes.push(...validatePodTerm(term, `${path}.${key}.requiredDuringSchedulingIgnoredDuringExecution[${i}]`));
    });
    soft?.forEach(({ weight, podAffinityTerm }, i) => {
      const field = `${path}.${key}.preferredDuringSchedulingIgnoredDuringExecution[${i}]`;
      causes.push(...validateWeight(weight, `${field}.weight`), ...validatePodTerm(podAffinityTerm, `${field}.podAffinityTerm`));
    });
  }
  return causes;
}

/** A `NodeSelector`: at least one term, each with requirements that can be met. */
export function validateNodeSelector({ nodeSelectorTerms }: NodeSelector, path: string): FieldCause[] {
  const at = `${path}.nodeSelectorTerms`;
  if (nodeSelectorTerms.length === 0) return [required(at, 'must have at least one node selector term')];
  return nodeSelectorTerms.flatMap((term, i) => validateNodeTerm(term, `${at}[${i}]`));
}

function validateWeight(weight: number, field: string): FieldCause[] {
  return weight >= 1 && weight <= 100 ? [] : [invalid(field, weight, 'must be in the range 1-100')];
}

/** `anyValue`: values that no label can have are warned of elsewhere. */
function validateNodeTerm({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, path: string, anyValue = false): FieldCause[] {
  return [
    ...matchExpressions.flatMap((one, i) => validateNodeRequirement(one, `${path}.matchExpressions[${i}]`, anyValue)),
    ...matchFields.flatMap((one, i) => validateFieldRequirement(one, `${path}.matchFields[${i}]`)),
  ];
}

function validateNodeRequirement({ key, operator, values = [] }: NodeSelectorRequirement, path: string, anyValue: boolean): FieldCause[] {
  const causes: FieldCause[] = [];
  switch (operator) {
    case 'In':
    case 'NotIn':
      if (values.length === 0) causes.push(required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      break;
    case 'Exists':
    case 'DoesNotExist':
      if (values.length > 0) causes.push(forbidden(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
      break;
    case 'Gt':
    case 'Lt':
      if (values.length !== 1) causes.push(required(`${path}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
      break;
    default:
      causes.push(invalid(`${path}.operator`, operator, NOT_AN_OPERATOR));
  }
  causes.push(...checkQualifiedName(key).map(why => invalid(`${path}.key`, key, why)));
  if (!anyValue)
    values.forEach((value, i) => {
      causes.push(...checkLabelValue(value).map(why => invalid(`${path}.values[${i}]`, value, why)));
    });
  return causes;
}

function validateFieldRequirement({ key, operator, values = [] }: NodeSelectorRequirement, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  if (operator !== 'In' && operator !== 'NotIn') causes.push(invalid(`${path}.operator`, operator, NOT_AN_OPERATOR));
  else if (values.length !== 1)
    causes.push(required(`${path}.values`, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"));
  if (key !== 'metadata.name') causes.push(invalid(`${path}.key`, key, 'not a valid field selector key'));
  else
    values.forEach((value, i) => {
      causes.push(...checkDnsSubdomain(value).map(why => invalid(`${path}.values[${i}]`, value, why)));
    });
  return causes;
}

function validatePodTerm(term: PodAffinityTerm, path: string): FieldCause[] {
  const causes = validateLabelSelector(term.labelSelector, `${path}.labelSelector`);
  causes.push(...validateLabelSelector(term.namespaceSelector, `${path}.namespaceSelector`));
  for (const name of term.namespaces ?? []) causes.push(...checkDnsLabel(name).map(why => invalid(`${path}.namespace`, name, why)));
  causes.push(...validateLabelKeys(term, path));
  if (!term.topologyKey) causes.push(required(`${path}.topologyKey`, 'can not be empty'));
  causes.push(...checkQualifiedName(term.topologyKey).map(why => invalid(`${path}.topologyKey`, term.topologyKey, why)));
  return causes;
}

/** Taints a pod bears. */
export function validateTolerations(tolerations: Toleration[], path: string): FieldCause[] {
  return tolerations.flatMap(({ key, operator = '', value = '', effect = '', tolerationSeconds }, i) => {
    const at = `${path}[${i}]`;
    const causes: FieldCause[] = key ? checkQualifiedName(key).map(why => invalid(`${at}.key`, key, why)) : [];
    if (!key && operator !== 'Exists')
      causes.push(
        invalid(`${at}.operator`, operator, 'operator must be Exists when `key` is empty, which means "match all values and all keys"'),
      );
    if (tolerationSeconds !== undefined && effect !== 'NoExecute')
      causes.push(invalid(`${at}.effect`, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"));
    if (operator === 'Exists') {
      if (value) causes.push(invalid(`${at}.operator`, { key, operator, value }, "value must be empty when `operator` is 'Exists'"));
    } else if (operator === '' || operator === 'Equal')
      causes.push(...checkLabelValue(value).map(why => invalid(`${at}.operator`, value, why)));
    else
      causes.push(
        notSupported(
          `${at}.operator`,
          operator,
          operator === 'Gt' || operator === 'Lt' ? ['Equal', 'Exists', 'Lt', 'Gt'] : ['Equal', 'Exists'],
        ),
      );
    if (effect) causes.push(...validateEnum(effect, ['NoSchedule', 'PreferNoSchedule', 'NoExecute'], `${at}.effect`));
    return causes;
  });
}

/** How evenly pods spread. */
export function validateTopologySpread(constraints: TopologySpreadConstraint[], path: string): FieldCause[] {
  return constraints.flatMap((one, i) => {
    const at = `${path}[${i}]`;
    const causes: FieldCause[] = one.maxSkew > 0 ? [] : [invalid(`${at}.maxSkew`, one.maxSkew, 'must be greater than zero')];
    if (!one.topologyKey) causes.push(required(`${at}.topologyKey`, 'can not be empty'));
    if (!SPREAD_ACTIONS.includes(one.whenUnsatisfiable))
      causes.push(notSupported(`${at}.whenUnsatisfiable`, one.whenUnsatisfiable, SPREAD_ACTIONS));
    if (one.minDomains !== undefined && one.minDomains <= 0)
      causes.push(invalid(`${at}.minDomains`, one.minDomains, 'must be greater than zero'));
    if (one.minDomains !== undefined && one.whenUnsatisfiable !== 'DoNotSchedule')
      causes.push(
        invalid(
          `${at}.minDomains`,
          one.minDomains,
          `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${one.whenUnsatisfiable}`,
        ),
      );
    for (const key of ['nodeAffinityPolicy', 'nodeTaintsPolicy'] as const)
      causes.push(...validateEnum(one[key], ['Honor', 'Ignore'], `${at}.${key}`));
    causes.push(...validateLabelSelector(one.labelSelector, `${at}.labelSelector`));
    causes.push(...validateLabelKeys(one, at));
    const isSame = (other: TopologySpreadConstraint) =>
      other.topologyKey === one.topologyKey && other.whenUnsatisfiable === one.whenUnsatisfiable;
    if (constraints.slice(i + 1).some(isSame))
      causes.push(duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, `{${one.topologyKey}, ${one.whenUnsatisfiable}}`));
    return causes;
  });
}
