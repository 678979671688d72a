import { matchesLabels, requirementsOf } from '#base/label-selector.ts';
import { alsoWatch, defineController, done } from '#client/index.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import { ClusterRole } from '#kinds/rbac.ts';
import type { PolicyRule } from '#kinds/types.gen.ts';
import { ignoreAbsent } from './absence.ts';

/** Writes into every ClusterRole with an `aggregationRule` the rules of those that its selectors match. */
export const clusterRoleAggregationController = defineController<ClusterRole>({
  name: 'clusterrole-aggregation-controller',
  watches: ClusterRole,
  alsoWatches: [
    alsoWatch(ClusterRole, (_changed, { client }) =>
      client
        .cached(ClusterRole)
        .list()
        .filter(({ aggregationRule }) => aggregationRule)
        .map(({ metadata }) => ({ name: metadata.name })),
    ),
  ],
  async reconcile(key, { client }) {
    const role = await client.get(ClusterRole, key);
    if (!role?.aggregationRule || role.metadata.deletionTimestamp) return done;
    const rules = planAggregation(role, client.cached(ClusterRole).list());
    if (jsonEqual(rules, role.rules ?? [])) return done;
    const { uid, resourceVersion } = role.metadata;
    await ignoreAbsent(client.patch(ClusterRole, key, { metadata: { uid, resourceVersion }, rules }, { type: 'merge' }));
    return done;
  },
});

/** The rules of all roles that the selectors of `role` match, in the order of the roles' names, each once. */
export function planAggregation(role: ClusterRole, all: readonly ClusterRole[]): PolicyRule[] {
  const selectors = (role.aggregationRule?.clusterRoleSelectors ?? []).map(requirementsOf);
  const matching = all
    .filter(({ metadata }) => metadata.name !== role.metadata.name && selectors.some(selector => matchesLabels(selector, metadata.labels)))
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const rules = new Map(matching.flatMap(({ rules = [] }) => rules).map(rule => [JSON.stringify(rule), rule]));
  return [...rules.values()];
}
