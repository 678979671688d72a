import { toTime } from '#base/clock.ts';
import { approvalOf, isProtectedGroup } from '#kinds/crd-validation.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionCondition,
  CustomResourceDefinitionNames,
  CustomResourceDefinitionStatus,
} from '#kinds/types.gen.ts';

type Status = CustomResourceDefinitionStatus & { conditions: CustomResourceDefinitionCondition[] };

/** The names that other definitions of the group have been given. */
export interface TakenNames {
  /** Plurals, singulars and short names: whatever can stand in a path or be typed. */
  resources: ReadonlySet<string>;
  kinds: ReadonlySet<string>;
}

/** A definition as far as others' names are concerned. */
export interface NameHolder {
  group: string;
  acceptedNames: CustomResourceDefinitionNames | undefined;
}

/** What definitions hold of names. */
export function nameHolderOf({ spec, status }: CustomResourceDefinition): NameHolder {
  return { group: spec.group, acceptedNames: status?.acceptedNames };
}

/** What the other definitions of `group` hold of names. */
export function takenNames(group: string, others: Iterable<NameHolder>): TakenNames {
  const resources = new Set<string>();
  const kinds = new Set<string>();
  for (const { group: other, acceptedNames: names } of others) {
    if (other !== group || !names) continue;
    for (const name of [names.plural, names.singular, ...(names.shortNames ?? [])]) if (name) resources.add(name);
    for (const kind of [names.kind, names.listKind]) if (kind) kinds.add(kind);
  }
  return { resources, kinds };
}

/** The status that a definition should have now: names that nobody else has are accepted, one by one, and then it is established. */
export function planStatus(crd: CustomResourceDefinition, taken: TakenNames, nowMs: number): CustomResourceDefinitionStatus {
  const { acceptedNames, conflict } = planNames(crd, taken);
  const present = crd.status ?? {};
  let conditions = present.conditions ?? [];
  const set = (type: string, status: 'True' | 'False' | 'Unknown', reason: string, message: string) => {
    conditions = withCondition(conditions, { type, status, reason, message }, nowMs);
  };
  const accepted = conflict === undefined;
  if (accepted) set('NamesAccepted', 'True', 'NoConflicts', 'no conflicts found');
  else set('NamesAccepted', 'False', conflict.reason, conflict.message);
  const isEstablished = conditions.some(({ type, status }) => type === 'Established' && status === 'True');
  if (accepted && !isEstablished) set('Established', 'True', 'InitialNamesAccepted', 'the initial names have been accepted');
  else if (!accepted && !isEstablished) set('Established', 'False', 'NotAccepted', 'not all names are accepted');
  conditions = withApproval(conditions, crd, nowMs);
  const status: Status = { ...present, acceptedNames, conditions, storedVersions: present.storedVersions ?? [] };
  return status;
}

/** The condition's new state in the list; the time only moves with the status. */
export function withCondition(
  conditions: readonly CustomResourceDefinitionCondition[],
  condition: Omit<CustomResourceDefinitionCondition, 'lastTransitionTime'>,
  nowMs: number,
): CustomResourceDefinitionCondition[] {
  const before = conditions.find(({ type }) => type === condition.type);
  const lastTransitionTime = before?.status === condition.status ? before.lastTransitionTime : toTime(nowMs);
  const next = { ...before, ...condition, ...(lastTransitionTime && { lastTransitionTime }) };
  return before ? conditions.map(each => (each === before ? next : each)) : [...conditions, next];
}

function withApproval(
  conditions: CustomResourceDefinitionCondition[],
  { spec, metadata }: CustomResourceDefinition,
  nowMs: number,
): CustomResourceDefinitionCondition[] {
  const type = 'KubernetesAPIApprovalPolicyConformant';
  if (!isProtectedGroup(spec.group)) return conditions.filter(each => each.type !== type);
  const { state, value } = approvalOf(metadata.annotations);
  const says = {
    approved: { status: 'True', reason: 'ApprovedAnnotation', message: `approved in ${value}` },
    bypassed: { status: 'False', reason: 'UnapprovedAnnotation', message: `not approved: "${value}"` },
    missing: {
      status: 'False',
      reason: 'MissingAnnotation',
      message:
        'protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111',
    },
    invalid: {
      status: 'False',
      reason: 'InvalidAnnotation',
      message: `protected groups must have approval annotation "api-approved.kubernetes.io" with either a URL or a reason starting with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111`,
    },
  }[state];
  return withCondition(conditions, { type, ...says }, nowMs);
}

interface Conflict {
  reason: string;
  message: string;
}

/** Each name is accepted for itself; a list of short names as a whole. What is not stays as it was. */
function planNames(
  { spec, status }: CustomResourceDefinition,
  { resources, kinds }: TakenNames,
): { acceptedNames: CustomResourceDefinitionNames; conflict?: Conflict } {
  const { plural, singular, shortNames, kind, listKind, categories } = spec.names;
  const before = status?.acceptedNames ?? { plural: '', kind: '' };
  let conflict: Conflict | undefined;
  const ask = <T extends string | string[] | undefined>(what: string, wanted: T, present: T, taken: ReadonlySet<string>): T => {
    const lost = [wanted ?? []].flat().filter(name => taken.has(name));
    if (lost.length === 0) return wanted;
    conflict = { reason: `${what}Conflict`, message: lost.map(name => `"${name}" is already in use`).join(', ') };
    return present;
  };
  const names = {
    plural: ask('Plural', plural, before.plural, resources),
    singular: ask('Singular', singular, before.singular, resources),
    shortNames: ask('ShortNames', shortNames, before.shortNames, resources),
    kind: ask('Kind', kind, before.kind, kinds),
    listKind: ask('ListKind', listKind, before.listKind, kinds),
    categories,
  };
  const acceptedNames = JSON.parse(JSON.stringify(names)) as CustomResourceDefinitionNames; // without the absent ones
  return { acceptedNames, ...(conflict && { conflict }) };
}

/** Whether writing the planned status would change anything. */
export function isStatusSettled(crd: CustomResourceDefinition, planned: CustomResourceDefinitionStatus): boolean {
  return jsonEqual(crd.status, planned);
}
