import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClusterRole } from '#kinds/rbac.ts';
import { ControlPlane } from '../../tests/control-plane.ts';
import { planAggregation } from './cluster-role-aggregation.ts';

const rule = (resource: string) => ({ apiGroups: [''], resources: [resource], verbs: ['get'] });
const role = (name: string, rules: object[], labels = {}) =>
  ({ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name, labels }, rules }) as unknown as ClusterRole;
const whole = {
  ...role('whole', []),
  aggregationRule: { clusterRoleSelectors: [{ matchLabels: { part: 'a' } }, { matchLabels: { part: 'b' } }] },
} as ClusterRole;

test('the rules of all that is selected, by name, each once', () => {
  const parts = [role('z', [rule('pods')], { part: 'a' }), role('b', [rule('nodes'), rule('pods')], { part: 'b' }), role('c', [rule('x')])];
  assert.deepEqual(planAggregation(whole, [...parts, whole]), [rule('nodes'), rule('pods')]);
  assert.deepEqual(planAggregation({ ...whole, aggregationRule: {} } as ClusterRole, parts), []);
});

test('an aggregated role follows its parts as they come, change and go', async () => {
  await using plane = await ControlPlane.start({ nodes: 0 });
  const { client } = plane;
  const resources = async () => ((await client.get(ClusterRole, { name: 'whole' }))?.rules ?? []).map(({ resources }) => resources?.[0]);
  const becomes = async (expected: string[]) => {
    const deadline = Date.now() + 10_000;
    while (JSON.stringify(await resources()) !== JSON.stringify(expected)) {
      assert.ok(Date.now() < deadline, JSON.stringify(await resources()));
      await new Promise(resolve => setTimeout(resolve, 10));
    }
  };
  await client.create(ClusterRole, whole);
  const part = await client.create(ClusterRole, role('part', [rule('pods')], { part: 'a' }));
  await becomes(['pods']);
  await client.update(ClusterRole, { ...part, rules: [rule('nodes') as never] });
  await becomes(['nodes']);
  await client.delete(ClusterRole, { name: 'part' });
  await becomes([]);
});
