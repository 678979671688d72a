import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { builtinKinds } from '#kinds/registry.ts';
import { SYSTEM } from '../identity.ts';
import { Policies } from '../policies/index.ts';
import { ResourceQuotas } from '../quota/resource-quotas.ts';
import { Resources, type Stored } from '../resources.ts';
import { Webhooks } from '../webhooks/index.ts';
import type { Write } from '../write.ts';
import { createAdmission } from './index.ts';

const WRITES = 20_000;
const MOST_US = 15;

const resources = new Resources(builtinKinds);
const authorize = () => ({ allowed: true, reason: '' });

function put(served: Stored, object: object): void {
  const key = `${served.cache.prefix}n`;
  served.cache.apply([{ type: 'put', key, value: served.cache.layout.encode(object as KubeObject), revision: 1 } as never], 1);
}

for (const [what, plural, object] of [
  ['ConfigMap', 'configmaps', { metadata: { name: 'c', namespace: 'n' }, data: { a: 'b' } }],
  ['Service', 'services', { metadata: { name: 's', namespace: 'n' }, spec: { ports: [] } }],
] as const)
  test(`admission that has nothing to do with a ${what} costs less than ${MOST_US} µs`, context => {
    using webhooks = new Webhooks(resources);
    const policies = new Policies({ resources, authorize });
    using quotas = new ResourceQuotas({ resources, clock: systemClock, onFailure: assert.ifError });
    const plugins = createAdmission({ resources, webhooks, policies, authorize, clock: systemClock });
    put(resources.stored('', 'v1', 'namespaces'), { metadata: { name: 'n' } });
    const served = resources.stored('', 'v1', plural);
    const write = (): Write => ({
      operation: 'CREATE',
      served,
      namespace: 'n',
      name: object.metadata.name,
      subresource: '',
      identity: SYSTEM,
      dryRun: false,
      warnings: [],
      object: object as unknown as KubeObject,
      old: undefined,
      conditions: [],
      writes: [],
    });
    const admit = () => {
      const one = write();
      for (const plugin of plugins) assert.equal(plugin.mutate?.(one), undefined, plugin.name);
      for (const plugin of plugins) assert.equal(plugin.validate?.(one), undefined, plugin.name);
      assert.equal(quotas.claim(one), undefined);
    };
    for (let i = 0; i < WRITES; i++) admit();
    const rounds = Array.from({ length: 5 }, () => {
      const began = performance.now();
      for (let i = 0; i < WRITES; i++) admit();
      return ((performance.now() - began) * 1000) / WRITES;
    });
    const best = Math.min(...rounds);
    assert.ok(best < MOST_US, `${best.toFixed(2)} µs`);
    context.diagnostic(`${best.toFixed(2)} µs`);
  });
