import type { FieldCause } from '#base/errors.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import { COUNTED, validateQuantity, validateResourceName } from './resources-validation.ts';
import type * as types from './types.gen.ts';
import { invalid, jsonEqual, required, validateImmutable } from './validation.ts';

/** Bounds of what a namespace may use. */
export const ResourceQuota: Kind<types.ResourceQuota> = defineKind<types.ResourceQuota>('v1/ResourceQuota', {
  validate: ({ spec }) => [...validateAmounts(spec?.hard, 'spec.hard'), ...validateScopes(spec ?? {})],
  validateUpdate({ spec = {} }, { spec: old = {} }) {
    const sorted = (scopes: string[] | undefined) => [...(scopes ?? [])].sort();
    return jsonEqual(sorted(spec.scopes), sorted(old.scopes)) ? [] : validateImmutable(spec.scopes ?? [], old.scopes ?? [], 'spec.scopes');
  },
  validateStatusUpdate: ({ status }) => [...validateAmounts(status?.hard, 'status.hard'), ...validateAmounts(status?.used, 'status.used')],
  cells: {
    Request: ({ status }) => amountsText(status, name => !name.startsWith('limits.')),
    Limit: ({ status }) => amountsText(status, name => name.startsWith('limits.')),
  },
});
export type ResourceQuota = types.ResourceQuota;

/** Compute resources of pods that a quota may bound. */
const COMPUTE = ['cpu', 'memory', 'ephemeral-storage'].flatMap(name => [name, `requests.${name}`, `limits.${name}`]);
const STANDARD = new Set([...COMPUTE, ...COUNTED, 'requests.storage']);
const POD_COMPUTE = new Set(['cpu', 'memory', 'requests.cpu', 'requests.memory', 'limits.cpu', 'limits.memory']);

const EXISTING_ONLY = new Set(['Terminating', 'NotTerminating', 'BestEffort', 'NotBestEffort', 'CrossNamespacePodAffinity']);
const SCOPES = [...EXISTING_ONLY, 'PriorityClass', 'VolumeAttributesClass'];
const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'];
const CONTRARY = [
  ['BestEffort', 'NotBestEffort'],
  ['NotTerminating', 'Terminating'],
];

/** The scopes of a quota as requirements: those of `scopes` only ask that they apply. */
export function scopesOf({ scopes = [], scopeSelector }: types.ResourceQuotaSpec): types.ScopedResourceSelectorRequirement[] {
  return [...scopes.map(scopeName => ({ scopeName, operator: 'Exists' })), ...(scopeSelector?.matchExpressions ?? [])];
}

function validateAmounts(amounts: Record<string, types.Quantity> = {}, path: string): FieldCause[] {
  return Object.entries(amounts).flatMap(([name, amount]) => {
    const at = `${path}[${name}]`;
    const causes = validateResourceName(name, at);
    if (!name.includes('/') && !isStandard(name)) causes.push(invalid(at, name, 'must be a standard resource for quota'));
    return [...causes, ...validateQuantity(name, amount, at)];
  });
}

function isStandard(name: string): boolean {
  return STANDARD.has(name) || /^(?:requests\.)?hugepages-/.test(name);
}

function validateScopes({ scopes, scopeSelector, hard = {} }: types.ResourceQuotaSpec): FieldCause[] {
  const names = Object.keys(hard);
  const causes: FieldCause[] = [];
  scopes?.forEach(scope => {
    if (!SCOPES.includes(scope)) causes.push(invalid('spec.scopes', scopes, 'unsupported scope'));
  });
  causes.push(...checkApplicable(scopes ?? [], names, 'spec.scopes', scopes));
  const { matchExpressions = [] } = scopeSelector ?? {};
  const at = 'spec.scopeSelector.matchExpressions';
  const named = matchExpressions.map(({ scopeName }) => scopeName);
  for (const { scopeName, operator, values = [] } of matchExpressions) {
    if (!SCOPES.includes(scopeName)) causes.push(invalid(`${at}.scopeName`, scopeName, 'unsupported scope'));
    if (EXISTING_ONLY.has(scopeName) && operator !== 'Exists')
      causes.push(
        invalid(
          `${at}.operator`,
          operator,
          "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
        ),
      );
    if (!OPERATORS.includes(operator)) causes.push(invalid(`${at}.operator`, operator, 'not a valid selector operator'));
    else if (operator === 'In' || operator === 'NotIn') {
      if (values.length === 0)
        causes.push(required(`${at}.values`, "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"));
    } else if (values.length > 0)
      causes.push(invalid(`${at}.values`, values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"));
  }
  causes.push(...checkApplicable(named, names, at, scopeSelector, scopes ?? []));
  return causes;
}

function checkApplicable(scopes: string[], names: string[], path: string, value: unknown, conflicting = value): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const scope of scopes)
    if (SCOPES.includes(scope) && names.some(name => isStandard(name) && !canScope(scope, name)))
      causes.push(invalid(path, value, 'unsupported scope applied to resource'));
  if (CONTRARY.some(pair => pair.every(scope => scopes.includes(scope)))) causes.push(invalid(path, conflicting, 'conflicting scopes'));
  return causes;
}

function canScope(scope: string, name: string): boolean {
  if (scope === 'BestEffort') return name === 'pods';
  if (scope === 'VolumeAttributesClass') return name === 'persistentvolumeclaims' || name === 'requests.storage';
  return name === 'pods' || POD_COMPUTE.has(name) || COMPUTE.includes(name);
}

function amountsText(status: types.ResourceQuotaStatus | undefined, isShown: (name: string) => boolean): string {
  const { hard = {}, used = {} } = status ?? {};
  return Object.entries(hard)
    .filter(([name]) => isShown(name))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, most]) => `${name}: ${Object.hasOwn(used, name) ? used[name] : 0}/${most}`)
    .join(', ');
}
