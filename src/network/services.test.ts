import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndpointSlice } from '#kinds/endpoint-slice.ts';
import type { Service } from '#kinds/service.ts';
import { reverseOf, toDnsRecords } from './dns-records.ts';
import { toHealthCheck, toServiceRule } from './service-rules.ts';

const metadata = (name: string) => ({ name, namespace: 'shop', uid: name, resourceVersion: '1', creationTimestamp: '' });

function service(spec: Service['spec']): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadata('web'),
    spec: { ports: [{ name: 'http', port: 80, protocol: 'TCP' }], ...spec },
  };
}

function slice(...endpoints: NonNullable<EndpointSlice['endpoints']>): EndpointSlice {
  const ports = [{ name: 'http', port: 8080, protocol: 'TCP' }];
  return { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: metadata('web-1'), addressType: 'IPv4', ports, endpoints };
}

const ready = { addresses: ['10.42.0.5'], nodeName: 'a', conditions: { ready: true, serving: true, terminating: false }, hostname: 'db-0' };
const unready = { addresses: ['10.42.0.6'], nodeName: 'b', conditions: { ready: false, serving: false, terminating: false } };
const ending = { addresses: ['10.42.0.7'], nodeName: 'b', conditions: { ready: false, serving: true, terminating: true } };

test('a rule has the ready endpoints, or else those that are ending', () => {
  const of = (...endpoints: NonNullable<EndpointSlice['endpoints']>) =>
    toServiceRule(service({ clusterIP: '10.43.0.9' }), [slice(...endpoints)], 'a')?.ports[0]?.endpoints;
  assert.deepEqual(of(unready, ready, ending), [{ address: '10.42.0.5', port: 8080 }]);
  assert.deepEqual(of(unready, ending), [{ address: '10.42.0.7', port: 8080 }]);
  assert.deepEqual(of(unready), []);
});

test('headless Services and external names have no rule', () => {
  assert.equal(toServiceRule(service({ clusterIP: 'None' }), [slice(ready)], 'a'), undefined);
  assert.equal(toServiceRule(service({ type: 'ExternalName', externalName: 'example.org' }), [], 'a'), undefined);
});

const addressesOf = (endpoints: readonly { address: string }[] | undefined) => endpoints?.map(({ address }) => address);

test('a local policy names the endpoints of this node beside all others', () => {
  const there = { ...ready, nodeName: 'b', addresses: ['10.42.1.1'] };
  const leaving = { ...ending, nodeName: 'a' };
  const of = (spec: Service['spec'], ...endpoints: NonNullable<EndpointSlice['endpoints']>) => {
    const rule = toServiceRule(service({ clusterIP: '10.43.0.9', ...spec }), [slice(...endpoints)], 'a');
    const [port] = rule?.ports ?? [];
    return [rule?.internalPolicyLocal, rule?.externalPolicyLocal, addressesOf(port?.endpoints), addressesOf(port?.localEndpoints)];
  };
  const both = ['10.42.0.5', '10.42.1.1'];
  assert.deepEqual(of({}, ready, there), [undefined, undefined, both, undefined]);
  assert.deepEqual(of({ internalTrafficPolicy: 'Local' }, ready, there), [true, undefined, both, ['10.42.0.5']]);
  const external = { type: 'NodePort', externalTrafficPolicy: 'Local' };
  assert.deepEqual(of(external, ready, there), [undefined, true, both, ['10.42.0.5']]);
  assert.deepEqual(of(external, there), [undefined, true, ['10.42.1.1'], []]);
  assert.deepEqual(
    of(external, there, leaving),
    [undefined, true, ['10.42.1.1'], ['10.42.0.7']],
    'none of this node is ready: those that end',
  );
  assert.deepEqual(
    of({ externalTrafficPolicy: 'Local' }, ready),
    [undefined, undefined, ['10.42.0.5'], undefined],
    'nothing of it is outside',
  );
});

test('session affinity lasts for its timeout, three hours when nothing is said', () => {
  const of = (spec: Service['spec']) => toServiceRule(service({ clusterIP: '10.43.0.9', ...spec }), [], 'a')?.affinitySeconds;
  assert.equal(of({ sessionAffinity: 'None' }), undefined);
  assert.equal(of({ sessionAffinity: 'ClientIP' }), 10_800);
  assert.equal(of({ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } } }), 5);
});

test('load balancers ask for local endpoints that are ready, each address once', () => {
  const balanced = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 30_100 };
  const of = (spec: Service['spec'], ...endpoints: NonNullable<EndpointSlice['endpoints']>) =>
    toHealthCheck(service(spec), [slice(...endpoints), slice(...endpoints)], 'a');
  assert.deepEqual(of(balanced, ready, { ...ready, nodeName: 'b', addresses: ['10.42.1.1'] }), { port: 30_100, localEndpoints: 1 });
  assert.deepEqual(of(balanced, { ...ending, nodeName: 'a' }), { port: 30_100, localEndpoints: 0 });
  for (const spec of [{ type: 'NodePort' }, { externalTrafficPolicy: 'Cluster' }, { healthCheckNodePort: 0 }])
    assert.equal(of({ ...balanced, ...spec }, ready), undefined);
});

test('names of a Service with an address', () => {
  assert.deepEqual(toDnsRecords(service({ clusterIP: '10.43.0.9' }), [], 'cluster.local'), {
    'web.shop.svc.cluster.local': { a: ['10.43.0.9'], ttl: 5 },
    '_http._tcp.web.shop.svc.cluster.local': { srv: [{ port: 80, target: 'web.shop.svc.cluster.local' }], ttl: 5 },
    '9.0.43.10.in-addr.arpa': { ptr: ['web.shop.svc.cluster.local'], ttl: 5 },
  });
});

test('names of a headless Service: its ready endpoints, by host name or address', () => {
  const records = toDnsRecords(service({ clusterIP: 'None' }), [slice(ready, unready)], 'cluster.local');
  assert.deepEqual(records['web.shop.svc.cluster.local']?.a, ['10.42.0.5']);
  assert.deepEqual(records['db-0.web.shop.svc.cluster.local']?.a, ['10.42.0.5']);
  assert.deepEqual(records['5.0.42.10.in-addr.arpa']?.ptr, ['db-0.web.shop.svc.cluster.local']);
  assert.deepEqual(records['_http._tcp.web.shop.svc.cluster.local']?.srv, [{ port: 8080, target: 'db-0.web.shop.svc.cluster.local' }]);
});

test('an external name is an alias; IPv6 addresses reverse by nibbles', () => {
  const records = toDnsRecords(service({ type: 'ExternalName', externalName: 'example.org' }), [], 'cluster.local');
  assert.deepEqual(records, { 'web.shop.svc.cluster.local': { cname: 'example.org', ttl: 5 } });
  assert.equal(reverseOf('2001:db8::1'), '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa');
});

test("a load balancer's address leads to the endpoints, for those who may come", () => {
  const balanced = (spec: Partial<Service['spec']>, ingress: object[]) =>
    toServiceRule(
      { ...service({ type: 'LoadBalancer', clusterIP: '10.43.0.9', ...spec }), status: { loadBalancer: { ingress: ingress as never } } },
      [slice(ready)],
      'a',
    );
  const vip = { ip: '192.0.2.7', ipMode: 'VIP' };
  const mixed = balanced({ externalIPs: ['192.0.2.9'] }, [vip, { ip: '192.0.2.8', ipMode: 'Proxy' }, { hostname: 'x' }]);
  assert.deepEqual([mixed?.addresses, mixed?.externalAddresses], [['10.43.0.9'], ['192.0.2.9', '192.0.2.7']]);
  assert.equal(balanced({ type: 'NodePort' }, [vip])?.externalAddresses, undefined);
  const sources = ['10.0.0.0/8', '192.0.2.0/24'];
  assert.deepEqual(balanced({ loadBalancerSourceRanges: sources }, [vip])?.restricted, { addresses: ['192.0.2.7'], sources });
  assert.equal(balanced({ loadBalancerSourceRanges: ['0.0.0.0/0'] }, [vip])?.restricted, undefined);
});
