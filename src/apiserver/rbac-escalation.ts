import { UmiakError } from '#base/errors.ts';
import type { KubeObject } from '#kinds/kind.ts';
import type { ClusterRole, PolicyRule, Role, RoleBinding } from '#kinds/types.gen.ts';
import type { Attributes, Authorizer, Identity } from './identity.ts';
import type { Rbac } from './rbac.ts';
import { formatRule, rulesNotHeld } from './rbac-rules.ts';

const GROUP = 'rbac.authorization.k8s.io';

/** Checks a write of a Role, ClusterRole or binding before it is committed; other kinds pass. @throws `Forbidden`, `NotFound` */
export type EscalationCheck = (identity: Identity, object: KubeObject, old?: KubeObject) => Promise<void>;

/**
 * Nobody may give what he does not hold: the rules of a written role, or of the role a binding refers to, must be among the writer's
 * own, unless he has the verb `escalate` on the role or `bind` on the role referred to.
 */
export function createEscalationCheck({ rbac, authorize }: { rbac: Rbac; authorize: Authorizer }): EscalationCheck {
  const may = async (
    identity: Identity,
    verb: string,
    resource: string,
    { namespace = '', name }: { namespace?: string; name: string },
  ) => {
    const attributes: Attributes = { identity, verb, group: GROUP, version: 'v1', resource, subresource: '', namespace, name };
    return (await authorize(attributes)).allowed;
  };

  const checkRules = (identity: Identity, object: KubeObject, rules: readonly PolicyRule[]) => {
    const missing = rulesNotHeld(rules, rbac.rulesOf(identity, object.metadata.namespace ?? ''));
    if (!missing.length) return;
    const plural = `${object.kind.toLowerCase()}s`;
    throw new UmiakError(
      'Forbidden',
      `${plural}.${GROUP} "${object.metadata.name}" is forbidden: user "${identity.name}" (groups=${JSON.stringify(identity.groups)}) is attempting to grant RBAC permissions not currently held:\n${missing.map(formatRule).join('\n')}`,
      { details: { kind: plural, group: GROUP, name: object.metadata.name } },
    );
  };

  const checkRole = async (identity: Identity, role: Role | ClusterRole, old?: Role | ClusterRole) => {
    const { namespace = '', name } = role.metadata;
    const aggregation = role.kind === 'ClusterRole' ? role.aggregationRule : undefined;
    const oldAggregation = old?.kind === 'ClusterRole' ? old.aggregationRule : undefined;
    if (old && same(role.rules, old.rules) && same(aggregation, oldAggregation)) return;
    if (await may(identity, 'escalate', role.kind === 'ClusterRole' ? 'clusterroles' : 'roles', { namespace, name })) return;
    const everything = { apiGroups: ['*'], resources: ['*'], verbs: ['*'] };
    checkRules(identity, role, aggregation ? [everything, { nonResourceURLs: ['*'], verbs: ['*'] }] : (role.rules ?? []));
  };

  const checkBinding = async (identity: Identity, binding: RoleBinding, old?: RoleBinding) => {
    if (old && same(binding.roleRef, old.roleRef) && same(binding.subjects, old.subjects)) return;
    const { namespace = '' } = binding.metadata;
    const { kind, name } = binding.roleRef;
    const resource = kind === 'ClusterRole' ? 'clusterroles' : 'roles';
    if (await may(identity, 'bind', resource, { namespace, name })) return;
    const rules = rbac.rulesOfRole(binding.roleRef, namespace);
    if (!rules)
      throw new UmiakError('NotFound', `${resource}.${GROUP} "${name}" not found`, { details: { kind: resource, group: GROUP, name } });
    checkRules(identity, binding, rules);
  };

  return async (identity, object, old) => {
    if (identity.groups.includes('system:masters')) return;
    switch (object.kind) {
      case 'Role':
      case 'ClusterRole':
        return await checkRole(identity, object as Role | ClusterRole, old as Role | ClusterRole | undefined);
      case 'RoleBinding':
      case 'ClusterRoleBinding':
        return await checkBinding(identity, object as RoleBinding, old as RoleBinding | undefined);
    }
  };
}

function same(left: unknown, right: unknown): boolean {
  return JSON.stringify(left ?? null) === JSON.stringify(right ?? null);
}
