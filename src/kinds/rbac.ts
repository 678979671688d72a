import type { FieldCause } from '#base/errors.ts';
import { type Cell, defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { checkPathSegment, forbidden, invalid, jsonEqual, notSupported, required } from './validation.ts';

const GROUP = 'rbac.authorization.k8s.io';

type AnyRole = types.Role | types.ClusterRole;
type AnyBinding = types.RoleBinding | types.ClusterRoleBinding;

/** What may be done in one namespace. */
export const Role: Kind<types.Role> = defineKind<types.Role>(`${GROUP}/v1/Role`, {
  checkName: checkPathSegment,
  validate: role => validateRules(role, true),
});
export type Role = types.Role;

/** What may be done everywhere. */
export const ClusterRole: Kind<types.ClusterRole> = defineKind<types.ClusterRole>(`${GROUP}/v1/ClusterRole`, {
  checkName: checkPathSegment,
  validate: role => validateRules(role, false),
});
export type ClusterRole = types.ClusterRole;

/** Who has a role in one namespace. */
export const RoleBinding: Kind<types.RoleBinding> = defineKind<types.RoleBinding>(`${GROUP}/v1/RoleBinding`, {
  checkName: checkPathSegment,
  defaults: defaultBinding,
  validate: binding => validateBinding(binding, ['Role', 'ClusterRole']),
  validateUpdate: validateSameRole,
  cells: bindingCells(),
});
export type RoleBinding = types.RoleBinding;

/** Who has a role everywhere. */
export const ClusterRoleBinding: Kind<types.ClusterRoleBinding> = defineKind<types.ClusterRoleBinding>(`${GROUP}/v1/ClusterRoleBinding`, {
  checkName: checkPathSegment,
  defaults: defaultBinding,
  validate: binding => validateBinding(binding, ['ClusterRole']),
  validateUpdate: validateSameRole,
  cells: bindingCells(),
});
export type ClusterRoleBinding = types.ClusterRoleBinding;

function defaultBinding({ roleRef, subjects = [] }: AnyBinding): void {
  roleRef.apiGroup ||= GROUP;
  for (const subject of subjects) if (subject.kind === 'User' || subject.kind === 'Group') subject.apiGroup ||= GROUP;
}

function validateRules({ rules = [] }: AnyRole, namespaced: boolean): FieldCause[] {
  return rules.flatMap((rule, i) => {
    const at = `rules[${i}]`;
    const causes = rule.verbs.length === 0 ? [required(`${at}.verbs`, 'verbs must contain at least one value')] : [];
    if (rule.nonResourceURLs?.length) {
      if (namespaced)
        causes.push(invalid(`${at}.nonResourceURLs`, rule.nonResourceURLs, 'namespaced rules cannot apply to non-resource URLs'));
      if (rule.apiGroups?.length || rule.resources?.length || rule.resourceNames?.length)
        causes.push(
          invalid(`${at}.nonResourceURLs`, rule.nonResourceURLs, 'rules cannot apply to both regular resources and non-resource URLs'),
        );
      return causes;
    }
    if (!rule.apiGroups?.length) causes.push(required(`${at}.apiGroups`, 'resource rules must supply at least one api group'));
    if (!rule.resources?.length) causes.push(required(`${at}.resources`, 'resource rules must supply at least one resource'));
    return causes;
  });
}

function validateBinding({ roleRef, subjects = [] }: AnyBinding, roleKinds: string[]): FieldCause[] {
  const causes: FieldCause[] = [];
  if (roleRef.apiGroup !== GROUP) causes.push(notSupported('roleRef.apiGroup', roleRef.apiGroup, [GROUP]));
  if (!roleKinds.includes(roleRef.kind)) causes.push(notSupported('roleRef.kind', roleRef.kind, roleKinds));
  if (!roleRef.name) causes.push(required('roleRef.name'));
  else causes.push(...checkPathSegment(roleRef.name).map(why => invalid('roleRef.name', roleRef.name, why)));
  subjects.forEach(({ kind, name, namespace, apiGroup = '' }, i) => {
    const at = `subjects[${i}]`;
    if (!name) causes.push(required(`${at}.name`));
    if (kind === 'ServiceAccount') {
      if (!namespace) causes.push(required(`${at}.namespace`));
      if (apiGroup !== '') causes.push(notSupported(`${at}.apiGroup`, apiGroup, ['']));
    } else if (kind === 'User' || kind === 'Group') {
      if (apiGroup !== GROUP) causes.push(notSupported(`${at}.apiGroup`, apiGroup, [GROUP]));
      if (namespace) causes.push(forbidden(`${at}.namespace`, `may not be set for a ${kind}`));
    } else causes.push(notSupported(`${at}.kind`, kind, ['ServiceAccount', 'User', 'Group']));
  });
  return causes;
}

function validateSameRole({ roleRef }: AnyBinding, old: AnyBinding): FieldCause[] {
  return jsonEqual(roleRef, old.roleRef) ? [] : [invalid('roleRef', roleRef, 'cannot change roleRef')];
}

function bindingCells(): Record<string, Cell<AnyBinding>> {
  const named = ({ subjects = [] }: AnyBinding, kind: string) => subjects.filter(subject => subject.kind === kind);
  return {
    Role: ({ roleRef }) => `${roleRef.kind}/${roleRef.name}`,
    Users: binding =>
      named(binding, 'User')
        .map(({ name }) => name)
        .join(', '),
    Groups: binding =>
      named(binding, 'Group')
        .map(({ name }) => name)
        .join(', '),
    ServiceAccounts: binding =>
      named(binding, 'ServiceAccount')
        .map(({ namespace, name }) => `${namespace}/${name}`)
        .join(', '),
  };
}
