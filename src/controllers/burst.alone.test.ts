import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Deployment } from '#kinds/deployment.ts';
import { Pod } from '#kinds/pod.ts';
import { ControlPlane } from '#tests/control-plane.ts';

test('500 pods of a Deployment exist within half a second', { timeout: 60_000 }, async t => {
  await using plane = await ControlPlane.start({ nodes: 3 });
  const tookMs: number[] = [];
  for (const name of ['first', 'second', 'third']) {
    const template = { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    const begin = performance.now();
    await plane.client.create(Deployment, {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace: 'default' },
      spec: { replicas: 500, selector: { matchLabels: { app: name } }, template },
    });
    await plane.until('500 pods', view => view.list(Pod).filter(({ metadata }) => metadata.labels?.app === name).length === 500);
    tookMs.push(Math.round(performance.now() - begin));
    await plane.client.delete(Deployment, { namespace: 'default', name });
    await plane.until('they are gone', view => view.list(Pod).length === 0);
  }
  t.diagnostic(`500 pods after ${tookMs.join(', ')} ms`);
  assert.ok(Math.min(...tookMs) < 500, `${tookMs.join(', ')} ms`);
});
