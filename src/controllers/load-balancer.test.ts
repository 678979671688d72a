import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Event } from '#kinds/event.ts';
import type { Draft } from '#kinds/kind.ts';
import { Node } from '#kinds/node.ts';
import { Service } from '#kinds/service.ts';
import { ControlPlane } from '#tests/control-plane.ts';
import { planIngress } from './load-balancer-plan.ts';

const namespace = 'default';

function draft(name: string, ports: number[], spec: Partial<Service['spec']> = {}): Draft<Service> {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: { type: 'LoadBalancer', selector: { app: name }, ports: ports.map(port => ({ name: `p${port}`, port })), ...spec },
  };
}

test('addresses: kept, shared by port, never the same port twice', () => {
  const service = (uid: string, ports: number[], ip?: string, spec: object = {}) =>
    ({
      metadata: { uid },
      spec: { type: 'LoadBalancer', ports: ports.map(port => ({ port, protocol: 'TCP' })), ...spec },
      status: { loadBalancer: ip ? { ingress: [{ ip }] } : {} },
    }) as unknown as Service;
  const pool = ['10.0.0.1', '10.0.0.2'];
  const ip = (one: Service, others: Service[], of = pool) => planIngress(one, [one, ...others], of)?.[0]?.ip;
  assert.equal(ip(service('a', [80]), []), '10.0.0.1');
  assert.equal(ip(service('a', [80]), [service('b', [443], '10.0.0.1')]), '10.0.0.1');
  assert.equal(ip(service('a', [80]), [service('b', [80], '10.0.0.1')]), '10.0.0.2');
  assert.equal(ip(service('a', [80], '10.0.0.2'), []), '10.0.0.2');
  assert.equal(ip(service('a', [80], '10.9.9.9'), []), '10.0.0.1');
  assert.equal(ip(service('a', [80]), [service('b', [80], '10.0.0.1'), service('c', [80], '10.0.0.2')]), undefined);
  assert.equal(ip(service('a', [80], undefined, { loadBalancerIP: '10.0.0.2' }), []), '10.0.0.2');
  assert.equal(ip(service('a', [80], undefined, { loadBalancerIP: '10.0.0.3' }), []), undefined);
  assert.deepEqual(planIngress(service('a', [80]), [], pool), [{ ip: '10.0.0.1', ipMode: 'VIP', ports: [{ port: 80, protocol: 'TCP' }] }]);
});

test("LoadBalancer Services get the node's address, and give it back", { timeout: 60_000 }, async () => {
  await using plane = await ControlPlane.start();
  const { client, view, cluster } = plane;
  const addresses = [{ type: 'InternalIP', address: '192.0.2.7' }];
  await client.patch(Node, { name: 'node-0' }, { status: { addresses } }, { type: 'merge', subresource: 'status' });
  const get = (name: string) => view.get(Service, { namespace, name });
  const ip = (name: string) => get(name)?.status?.loadBalancer?.ingress?.[0]?.ip;

  await client.create(Service, draft('web', [80, 443]));
  await plane.until('an address', () => ip('web') === '192.0.2.7');
  assert.match((await cluster.kubectl('get', 'svc', 'web')).stdout, /LoadBalancer\s+[\d.]+\s+192\.0\.2\.7\s+80:3\d+\/TCP/);
  await client.create(Service, draft('other', [8080]));
  await client.create(Service, draft('rival', [443]));
  await client.create(Service, draft('foreign', [9090], { loadBalancerClass: 'example.com/theirs', allocateLoadBalancerNodePorts: false }));
  await plane.until('another port of the same address', () => ip('other') === '192.0.2.7');
  await plane.until('the rival is told', () => view.list(Event).some(({ reason }) => reason === 'SyncLoadBalancerFailed'));
  assert.equal(ip('rival'), undefined);
  assert.equal(get('foreign')?.spec.ports?.[0]?.nodePort, undefined);

  await client.patch(Service, { namespace, name: 'web' }, { spec: { type: 'ClusterIP' } }, { type: 'merge' });
  await plane.until('given back', () => ip('web') === undefined);
  await plane.until('the rival has it', () => ip('rival') === '192.0.2.7');
  assert.equal(ip('foreign'), undefined, "other classes' Services are left alone");

  await client.patch(Service, { namespace, name: 'other' }, { metadata: { finalizers: ['service.kubernetes.io/load-balancer-cleanup'] } });
  await client.delete(Service, { namespace, name: 'other' });
  await plane.until('gone', () => get('other') === undefined);
  await assert.rejects(
    client.create(Service, draft('wrong', [80], { type: 'ClusterIP', loadBalancerClass: 'a/b' })),
    /may only be used when `type`/,
  );
});
