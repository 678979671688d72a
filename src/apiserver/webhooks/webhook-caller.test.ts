import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectAdmission } from './connect.ts';
import { startTestWebhook } from './test-webhook.ts';
import { toTarget, WebhookCaller } from './webhook-caller.ts';

test("a Service's certificate is verified for its name in the cluster, wherever its endpoint is", async () => {
  await using webhook = await startTestWebhook();
  webhook.on('/x', () => ({ allowed: true }));
  const asked: [string, string, number | string][] = [];
  using caller = new WebhookCaller((...service) => {
    asked.push(service);
    return { host: '127.0.0.1', port: webhook.port };
  });
  const service = (name: string) =>
    toTarget({ service: { namespace: 'default', name, path: '/x', port: 8443 }, caBundle: webhook.caBundle }, 3);
  const answer = await caller.post(service('hook'), { apiVersion: 'admission.k8s.io/v1', request: { uid: 'u' } }, 3000);
  assert.deepEqual(answer, { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: { uid: 'u', allowed: true } });
  assert.deepEqual(asked, [['default', 'hook', 8443]]);
  await assert.rejects(
    caller.post(service('other'), {}, 3000),
    /Post "https:\/\/other\.default\.svc:8443\/x\?timeout=3s": .*other\.default\.svc/,
  );
});

test('what connects to a pod is shown as its options', async () => {
  const seen: unknown[] = [];
  const outcome = { type: 'value', status: 200, value: 'connected' } as const;
  const handlers = new Map(
    connectAdmission(
      [
        ['pods/attach', async () => outcome],
        ['pods/log', async () => outcome],
      ],
      attributes => {
        seen.push([attributes.operation, attributes.subresource, attributes.kind?.kind, attributes.object(attributes.served)]);
        if (attributes.name === 'closed') throw new Error('attaching is denied');
      },
    ),
  );
  const context = (subresource: string, name: string) =>
    ({
      query: new URLSearchParams('stdin=true&tty=0&container=c'),
      route: { subresource, name, namespace: 'n', rest: '' },
      warnings: [],
    }) as never;
  await handlers.get('pods/log')?.(context('log', 'closed'));
  await handlers.get('pods/attach')?.(context('attach', 'open'));
  await assert.rejects(handlers.get('pods/attach')?.(context('attach', 'closed')) ?? Promise.resolve(), /attaching is denied/);
  const options = { kind: 'PodAttachOptions', apiVersion: 'v1', stdin: true, tty: false, container: 'c' };
  assert.deepEqual(seen[0], ['CONNECT', 'attach', 'PodAttachOptions', options]);
  assert.equal(seen.length, 2);
});

test('a kept connection that ended meanwhile is replaced', async () => {
  await using webhook = await startTestWebhook();
  using caller = new WebhookCaller(() => ({ host: '127.0.0.1', port: webhook.port }));
  const target = toTarget({ url: webhook.url('/x'), caBundle: webhook.caBundle }, 3);
  let calls = 0;
  webhook.on('/x', () => {
    if (++calls === 2) webhook.hangUp();
    return { allowed: true };
  });
  const call = () => caller.post(target, { apiVersion: 'admission.k8s.io/v1', request: { uid: 'u' } }, 3000);
  await call();
  assert.equal(typeof (await call()), 'object');
  assert.equal(calls, 3);
});

test('a bundle may hold the very certificate that the webhook shows', async () => {
  await using webhook = await startTestWebhook();
  webhook.on('/x', () => ({ allowed: true }));
  using caller = new WebhookCaller(() => ({ host: 'nowhere', port: 1 }));
  const ask = (caBundle: string) =>
    caller.post(toTarget({ url: webhook.url('/x'), caBundle }, 3), { apiVersion: 'admission.k8s.io/v1', request: { uid: 'u' } }, 5000);
  await ask(Buffer.from(webhook.certificate).toString('base64'));
  await using other = await startTestWebhook();
  await assert.rejects(ask(other.caBundle), /failed to call webhook/);
});
