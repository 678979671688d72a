import type { KubeObject } from '#kinds/kind.ts';
import type { Attributes, Decision, NonResourceRule, ResourceRule, RulesOf } from './identity.ts';
import { isNodeIdentity, NodeAuthorizer } from './node-authorizer.ts';
import { Rbac } from './rbac.ts';
import { createEscalationCheck, type EscalationCheck } from './rbac-escalation.ts';

export interface Authorization {
  authorize: Judge;
  rulesOf: RulesOf;
  checkEscalation: EscalationCheck;
  /**
   * To be told of every Role, ClusterRole, RoleBinding, ClusterRoleBinding, Pod and PersistentVolume, at start and at each change, in order.
   * Kinds it has no use for may be shown as well.
   */
  observe(object: KubeObject, deleted?: boolean): void;
}

/** The kinds `Authorization.observe` wants to see, as `group/plural`. */
export const OBSERVED_RESOURCES = [
  'rbac.authorization.k8s.io/roles',
  'rbac.authorization.k8s.io/clusterroles',
  'rbac.authorization.k8s.io/rolebindings',
  'rbac.authorization.k8s.io/clusterrolebindings',
  '/pods',
  '/persistentvolumes',
];

/** The authorizers in their order: `system:masters` may do all, nodes what their pods need, everybody what RBAC gives. What nobody allows is refused. */
export function createAuthorization(): Authorization {
  const rbac = new Rbac();
  const nodes = new NodeAuthorizer();
  const authorize = firstOpinion([allowMasters, attributes => nodes.authorize(attributes), attributes => rbac.authorize(attributes)]);
  return {
    authorize,
    checkEscalation: createEscalationCheck({ rbac, authorize }),
    observe(object, deleted) {
      rbac.observe(object, deleted);
      nodes.observe(object, deleted);
    },
    async rulesOf(identity, namespace) {
      const resourceRules: ResourceRule[] = [];
      const nonResourceRules: NonResourceRule[] = [];
      for (const { verbs, apiGroups = [], resources = [], resourceNames, nonResourceURLs } of rbac.rulesOf(identity, namespace)) {
        if (resources.length) resourceRules.push({ verbs, apiGroups, resources, ...(resourceNames?.length && { resourceNames }) });
        if (nonResourceURLs?.length) nonResourceRules.push({ verbs, nonResourceURLs });
      }
      return { resourceRules, nonResourceRules, incomplete: isNodeIdentity(identity) };
    },
  };
}

/** Asks one after the other: the first yes or explicit no decides; with neither the answer is no, with all reasons given. */
function firstOpinion(authorizers: readonly Judge[]): Judge {
  return attributes => {
    const reasons: string[] = [];
    for (const authorize of authorizers) {
      const decision = authorize(attributes);
      if (decision.allowed || decision.denied) return decision;
      if (decision.reason) reasons.push(decision.reason);
    }
    return { allowed: false, reason: reasons.join(', ') };
  };
}

/** An authorizer that knows its mind at once: every request passes here. */
export type Judge = (attributes: Attributes) => Decision;

/** The group that no rule can lock out. */
const allowMasters: Judge = ({ identity }) =>
  identity.groups.includes('system:masters') ? { allowed: true, reason: '' } : { allowed: false, reason: '' };
