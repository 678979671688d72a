import { test } from 'node:test';
import { Deployment } from '#kinds/deployment.ts';
import { Pod } from '#kinds/pod.ts';
import { ControlPlane } from '#tests/control-plane.ts';

test('500 pods of a Deployment come in one burst, as often as it is made anew', { timeout: 120_000 }, async t => {
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
  // The figure is the bench's; this machine may do other things meanwhile.
  t.diagnostic(`500 pods after ${tookMs.join(', ')} ms`);
});
