import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, toMicroTime } from '#base/index.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import { EndpointSlice } from '#kinds/endpoint-slice.ts';
import { Event } from '#kinds/event.ts';
import type { Draft } from '#kinds/kind.ts';
import { Lease } from '#kinds/lease.ts';
import { Namespace } from '#kinds/namespace.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodReady } from '#kinds/pod-template.ts';
import { Service } from '#kinds/service.ts';
import { ServiceAccount } from '#kinds/service-account.ts';
import { ControlPlane, type View } from '#tests/control-plane.ts';

function pod(namespace: string, name: string, labels: Record<string, string> = {}, spec: Partial<Pod['spec']> = {}): Draft<Pod> {
  const containers = [{ name: 'c', image: 'i', ports: [{ name: 'web', containerPort: 8080 }] }];
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, labels }, spec: { containers, ...spec } };
}

test('endpoint slices follow pods and Services', { timeout: 60_000 }, async () => {
  await using plane = await ControlPlane.start();
  const { client, kubelet } = plane;
  kubelet.isReady = ({ metadata }) => metadata.labels?.ready !== 'no';
  const namespace = 'default';
  const slices = (view: View) =>
    view.list(EndpointSlice, namespace).filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === 'web');
  const endpoints = (view: View) => slices(view).flatMap(slice => slice.endpoints ?? []);
  const isReady = (view: View, name: string) => endpoints(view).find(({ targetRef }) => targetRef?.name === name)?.conditions?.ready;
  const ports = [{ name: 'http', port: 80, targetPort: 'web' }];
  await client.create(Service, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace },
    spec: { selector: { app: 'web' }, ports },
  });
  await plane.until('an empty slice', view => slices(view).length === 1 && endpoints(view).length === 0);
  for (const name of ['a', 'b', 'c']) await client.create(Pod, pod(namespace, name, { app: 'web' }));
  await plane.until('3 ready endpoints', view => endpoints(view).filter(({ conditions }) => conditions?.ready).length === 3);
  assert.deepEqual(slices(plane.view)[0]?.ports, [{ name: 'http', protocol: 'TCP', port: 8080 }]);

  await client.patch(Pod, { namespace, name: 'a' }, { metadata: { labels: { ready: 'no' } } });
  await plane.until('a is not ready', view => isReady(view, 'a') === false && isReady(view, 'b') === true);
  await client.patch(Pod, { namespace, name: 'b' }, { metadata: { labels: { app: 'other' } } });
  await plane.until('b is no endpoint', view => isReady(view, 'b') === undefined);
  kubelet.isStubborn = ({ metadata }) => metadata.name === 'c';
  await client.delete(Pod, { namespace, name: 'c' });
  await plane.until('c serves while it ends', view => {
    const { conditions } = endpoints(view).find(({ targetRef }) => targetRef?.name === 'c') ?? {};
    return conditions?.ready === false && conditions.serving === true && conditions.terminating === true;
  });
  delete kubelet.isStubborn;
  plane.replay();
  await plane.until('c is gone', view => isReady(view, 'c') === undefined);
  await client.patch(Service, { namespace, name: 'web' }, { spec: { selector: { app: 'other' } } });
  await plane.until('the selector counts', view => isReady(view, 'b') === true && isReady(view, 'a') === undefined);
  await client.delete(EndpointSlice, slices(plane.view)[0]!.metadata);
  await plane.until('a deleted slice is made again', view => isReady(view, 'b') === true);
  await client.delete(Service, { namespace, name: 'web' });
  await plane.until('they go with the Service', view => slices(view).length === 0);
});

test('namespaces get their account and authority, and end when everything in them has', { timeout: 60_000 }, async t => {
  await using plane = await ControlPlane.start();
  const { client, cluster, kubelet } = plane;
  const hasBasics = (view: View, namespace: string) =>
    view.get(ServiceAccount, { namespace, name: 'default' }) !== undefined &&
    view.get(ConfigMap, { namespace, name: 'kube-root-ca.crt' })?.data?.['ca.crt'] === 'the authority';

  await t.test('account and authority are made, made again, and kept true', async () => {
    await plane.namespace('basics');
    await plane.until('they are there', view => hasBasics(view, 'basics'));
    await client.delete(ServiceAccount, { namespace: 'basics', name: 'default' });
    await client.patch(
      ConfigMap,
      { namespace: 'basics', name: 'kube-root-ca.crt' },
      { data: { 'ca.crt': 'forged', more: 'x' } },
      { type: 'merge' },
    );
    await plane.until('they are right again', view => {
      const { data = {} } = view.get(ConfigMap, { namespace: 'basics', name: 'kube-root-ca.crt' }) ?? {};
      return hasBasics(view, 'basics') && Object.keys(data).length === 1;
    });
    await client.delete(ConfigMap, { namespace: 'basics', name: 'kube-root-ca.crt' });
    await plane.until('and again', view => hasBasics(view, 'basics'));
  });

  await t.test('kubectl delete namespace waits for finalizers and for pods that take their grace', async () => {
    await plane.namespace('doomed');
    await plane.until('it has its basics', view => hasBasics(view, 'doomed'));
    kubelet.isStubborn = ({ metadata }) => metadata.namespace === 'doomed';
    await client.create(Pod, pod('doomed', 'p'));
    await client.create(ConfigMap, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'held', namespace: 'doomed', finalizers: ['example.com/hold'] },
    });
    await client.create(ConfigMap, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'free', namespace: 'doomed' } });
    await plane.until('the pod runs', view => isPodReady(view.get(Pod, { namespace: 'doomed', name: 'p' })!));
    const deletion = cluster.kubectl('delete', 'namespace', 'doomed', '--timeout=25s');
    await plane.until('it says what it waits for', view => {
      const conditions = view.get(Namespace, { name: 'doomed' })?.status?.conditions ?? [];
      return (
        conditions.some(
          ({ type, status, message }) => type === 'NamespaceContentRemaining' && status === 'True' && /pods has 1/.test(message ?? ''),
        ) &&
        conditions.some(
          ({ type, status, message }) =>
            type === 'NamespaceFinalizersRemaining' && status === 'True' && /example.com\/hold/.test(message ?? ''),
        )
      );
    });
    assert.ok(plane.view.get(ConfigMap, { namespace: 'doomed', name: 'free' }), 'what a pod may use stays as long as the pod');
    const said = plane.view.get(Namespace, { name: 'doomed' })?.status?.conditions?.map(({ type, status }) => `${type}=${status}`);
    assert.ok(said?.includes('NamespaceDeletionContentFailure=False'));
    await assert.rejects(
      client.create(ConfigMap, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'new', namespace: 'doomed' } }),
      { reason: 'Forbidden' },
    );
    delete kubelet.isStubborn;
    plane.replay();
    await plane.until('the pod goes', view => view.list(Pod, 'doomed').length === 0);
    assert.ok(plane.view.get(Namespace, { name: 'doomed' }));
    await client.patch(ConfigMap, { namespace: 'doomed', name: 'held' }, { metadata: { finalizers: null } }, { type: 'merge' });
    await plane.until('the namespace is gone', view => view.get(Namespace, { name: 'doomed' }) === undefined, 5_000);
    await deletion;
  });

  await t.test('a namespace of many objects is quick to go', async () => {
    await plane.namespace('full');
    await plane.until('it has its basics', view => hasBasics(view, 'full'));
    const names = Array.from({ length: 100 }, (_, index) => `c${index}`);
    await Promise.all(
      names.map(name => client.create(ConfigMap, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'full' } })),
    );
    const began = performance.now();
    await client.delete(Namespace, { name: 'full' });
    await plane.until('it is gone', view => view.get(Namespace, { name: 'full' }) === undefined);
    t.diagnostic(`100 objects and their namespace were gone after ${Math.round(performance.now() - began)} ms`);
  });
});

test('nodes: silence, taints, eviction, return, removal', { timeout: 60_000 }, async t => {
  const clock = new ManualClock(Date.now());
  await using plane = await ControlPlane.start({ clock, nodes: 0 });
  const { client } = plane;
  const renew = async (name: string) => {
    const spec = { holderIdentity: name, leaseDurationSeconds: 40, renewTime: toMicroTime(clock.now()) };
    const key = { namespace: 'kube-node-lease', name };
    if (plane.view.get(Lease, key)) await client.patch(Lease, key, { spec });
    else await client.create(Lease, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: key, spec });
    await plane.until('the lease is seen', view => view.get(Lease, key)?.spec.renewTime === spec.renewTime);
  };
  const readyOf = (view: View, name: string) => view.get(Node, { name })?.status?.conditions?.find(({ type }) => type === 'Ready')?.status;
  const taintsOf = (view: View, name: string) =>
    (view.get(Node, { name })?.spec.taints ?? []).map(({ key, effect }) => `${key.split('/')[1]}:${effect}`);
  /** Time passes in steps, so that everything that falls due gets its turn and may set further timers. */
  const pass = async (ms: number, while_: () => Promise<void> = async () => {}) => {
    for (let passed = 0; passed < ms; passed += 1_000) {
      clock.advance(1_000);
      await while_();
      await new Promise(resolve => setImmediate(resolve));
    }
  };
  await plane.addNode('a');
  await plane.addNode('b');
  await renew('a');
  await renew('b');
  const tolerations = [{ key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 30 }];
  await client.create(Pod, pod('default', 'patient', {}, { nodeName: 'a', tolerations }));
  await client.create(Pod, pod('default', 'elsewhere', {}, { nodeName: 'b' }));
  await client.create(Pod, pod('default', 'daemon', {}, { nodeName: 'a', tolerations: [{ operator: 'Exists' }] }));
  await plane.until('all run', view => view.list(Pod, 'default').filter(isPodReady).length === 3);
  plane.kubelet.isReady = ({ spec }) => spec.nodeName !== 'a';
  plane.kubelet.isStubborn = ({ spec }) => spec.nodeName === 'a';

  await t.test('a node is not heard of: Unknown, tainted, its pods not ready', async () => {
    await pass(30_000, () => renew('b'));
    assert.equal(readyOf(plane.view, 'a'), 'True');
    await pass(15_000, () => renew('b'));
    await plane.until('it is Unknown', view => readyOf(view, 'a') === 'Unknown');
    await plane.until('it is tainted', view => taintsOf(view, 'a').join() === 'unreachable:NoSchedule,unreachable:NoExecute');
    await plane.until('its pods are not ready', view => !isPodReady(view.get(Pod, { namespace: 'default', name: 'patient' })!));
    assert.equal(readyOf(plane.view, 'b'), 'True');
    assert.ok(isPodReady(plane.view.get(Pod, { namespace: 'default', name: 'elsewhere' })!));
    assert.equal(plane.view.get(Pod, { namespace: 'default', name: 'patient' })?.metadata.deletionTimestamp, undefined);
  });

  await t.test('pods go when their toleration is over, others stay', async () => {
    await pass(35_000, () => renew('b'));
    await plane.until(
      'the patient one is told to go',
      view => view.get(Pod, { namespace: 'default', name: 'patient' })?.metadata.deletionTimestamp !== undefined,
    );
    assert.equal(plane.view.get(Pod, { namespace: 'default', name: 'daemon' })?.metadata.deletionTimestamp, undefined);
    await plane.until('events say so', view => {
      const reasons = view.list(Event).map(({ reason }) => reason);
      return reasons.includes('NodeNotReady') && reasons.includes('TaintManagerEviction');
    });
  });

  await t.test('a node that is heard of again loses its taints', async () => {
    await renew('a');
    const node = plane.view.get(Node, { name: 'a' })!;
    const conditions = node.status!.conditions!.map(condition => ({ ...condition, status: condition.type === 'Ready' ? 'True' : 'False' }));
    await client.updateStatus(Node, { ...node, status: { ...node.status, conditions } });
    await plane.until('no taints', view => taintsOf(view, 'a').length === 0);
  });

  await t.test('a controller that starts anew does not hold its own absence against the nodes', async () => {
    await renew('a');
    await plane.stopControllers();
    clock.advance(3_600_000);
    await plane.startControllers();
    await pass(5_000);
    assert.equal(readyOf(plane.view, 'a'), 'True');
  });

  await t.test('a node is deleted: its pods are removed without waiting for it', async () => {
    await client.delete(Node, { name: 'a' });
    await plane.until('its pods are gone', view => view.list(Pod, 'default').every(({ spec }) => spec.nodeName !== 'a'));
    assert.ok(plane.view.get(Pod, { namespace: 'default', name: 'elsewhere' }));
  });

  await t.test('a pod that names a node which is not there yet has some time', async () => {
    await client.create(Pod, pod('default', 'early', {}, { nodeName: 'c' }));
    await client.create(Pod, pod('default', 'lost', {}, { nodeName: 'never' }));
    await plane.until('they are seen', view => view.list(Pod, 'default').length >= 3);
    await pass(20_000, () => renew('b'));
    await plane.addNode('c');
    await renew('c');
    await pass(25_000, async () => {
      for (const name of ['b', 'c']) await renew(name);
    });
    await plane.until('the lost one is gone', view => view.get(Pod, { namespace: 'default', name: 'lost' }) === undefined);
    assert.ok(plane.view.get(Pod, { namespace: 'default', name: 'early' }));
  });

  await t.test('a cordoned node is tainted, foreign taints stay', async () => {
    await client.patch(
      Node,
      { name: 'b' },
      { spec: { unschedulable: true, taints: [{ key: 'mine/x', effect: 'NoSchedule' }] } },
      { type: 'merge' },
    );
    await plane.until('both taints', view => taintsOf(view, 'b').sort().join() === 'unschedulable:NoSchedule,x:NoSchedule');
  });
});
