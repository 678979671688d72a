import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Answer, at, startTestCluster, type TestCluster } from '../../test-cluster.ts';

let cluster: TestCluster;
before(async () => {
  cluster = await startTestCluster();
});
after(() => cluster[Symbol.asyncDispose]());
const message = (answer: Answer) => String(at(answer.body, 'message'));
const label = (more: Record<string, string>) =>
  Object.fromEntries(Object.entries(more).map(([mode, level]) => [`pod-security.kubernetes.io/${mode}`, level]));
const pod = (name: string, context: object = {}) => ({
  metadata: { name },
  spec: { containers: [{ name: 'a', image: 'i', securityContext: context }] },
});

test('a namespace refuses pods and warns of workloads', async () => {
  const labels = label({ enforce: 'baseline', warn: 'restricted', 'warn-version': 'v1.25' });
  await cluster.call('POST', '/api/v1/namespaces', { metadata: { name: 'guarded', labels } });
  await cluster.call('POST', '/api/v1/namespaces/guarded/serviceaccounts', { metadata: { name: 'default' } });
  const path = '/api/v1/namespaces/guarded/pods';
  const refused = await cluster.call('POST', path, pod('p', { privileged: true }));
  assert.equal(refused.status, 403);
  assert.equal(
    message(refused),
    'pods "p" is forbidden: violates PodSecurity "baseline:latest": privileged (container "a" must not set securityContext.privileged=true)',
  );
  const warned = await cluster.call('POST', path, pod('p'));
  assert.equal(warned.status, 201);
  assert.match(String(warned.headers.warning), /would violate PodSecurity \\"restricted:v1\.25\\": allowPrivilegeEscalation != false/);
  const deployment = {
    metadata: { name: 'd' },
    spec: {
      selector: { matchLabels: { a: 'b' } },
      template: { metadata: { labels: { a: 'b' } }, spec: pod('x', { privileged: true }).spec },
    },
  };
  const made = await cluster.call('POST', '/apis/apps/v1/namespaces/guarded/deployments', deployment);
  assert.equal(made.status, 201, 'workloads are only warned of');
  assert.match(String(made.headers.warning), /would violate PodSecurity/);
  const patched = await cluster.call(
    'PATCH',
    `${path}/p`,
    { metadata: { labels: { x: 'y' } } },
    { 'content-type': 'application/merge-patch+json' },
  );
  assert.equal(patched.headers.warning, undefined, 'nothing that is judged changed');
});

test('a namespace that becomes stricter says which pods break that', async () => {
  await cluster.call('POST', '/api/v1/namespaces', { metadata: { name: 'tightened' } });
  await cluster.call('POST', '/api/v1/namespaces/tightened/serviceaccounts', { metadata: { name: 'default' } });
  for (const name of ['p2', 'p1']) await cluster.call('POST', '/api/v1/namespaces/tightened/pods', pod(name, { privileged: true }));
  const patch = (labels: object) =>
    cluster.call('PATCH', '/api/v1/namespaces/tightened', { metadata: { labels } }, { 'content-type': 'application/merge-patch+json' });
  const answer = await patch(label({ enforce: 'baseline' }));
  const warning = String(answer.headers.warning);
  assert.match(warning, /existing pods in namespace \\"tightened\\" violate the new PodSecurity enforce level \\"baseline:latest\\"/);
  assert.match(warning, /p1 \(and 1 other pod\): privileged/);
  const wrong = await patch(label({ enforce: 'strict' }));
  assert.equal(wrong.status, 422);
  assert.match(message(wrong), /must be one of privileged, baseline, restricted/);
});
