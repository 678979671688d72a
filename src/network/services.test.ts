import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndpointSlice } from '#kinds/endpoint-slice.ts';
import type { Service } from '#kinds/service.ts';
import { reverseOf, toDnsRecords } from './dns-records.ts';
import { toServiceRule } from './service-rules.ts';

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
  assert.deepEqual(of(unready, ready, ending), [{ address: '10.42.0.5', port: 8080, isLocal: true }]);
  assert.deepEqual(of(unready, ending), [{ address: '10.42.0.7', port: 8080, isLocal: false }]);
  assert.deepEqual(of(unready), []);
});

test('headless Services and external names have no rule', () => {
  assert.equal(toServiceRule(service({ clusterIP: 'None' }), [slice(ready)], 'a'), undefined);
  assert.equal(toServiceRule(service({ type: 'ExternalName', externalName: 'example.org' }), [], 'a'), undefined);
});

test('internalTrafficPolicy Local leaves only endpoints of this node', () => {
  const rule = toServiceRule(
    service({ clusterIP: '10.43.0.9', internalTrafficPolicy: 'Local' }),
    [slice(ready, { ...ready, nodeName: 'b', addresses: ['10.42.1.1'] })],
    'a',
  );
  assert.deepEqual(
    rule?.ports[0]?.endpoints.map(({ address }) => address),
    ['10.42.0.5'],
  );
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
  assert.deepEqual(balanced({}, [vip, { ip: '192.0.2.8', ipMode: 'Proxy' }, { hostname: 'x' }])?.addresses, ['10.43.0.9', '192.0.2.7']);
  assert.deepEqual(balanced({ type: 'NodePort' }, [vip])?.addresses, ['10.43.0.9']);
  const sources = ['10.0.0.0/8', '192.0.2.0/24'];
  assert.deepEqual(balanced({ loadBalancerSourceRanges: sources }, [vip])?.restricted, { addresses: ['192.0.2.7'], sources });
  assert.equal(balanced({ loadBalancerSourceRanges: ['0.0.0.0/0'] }, [vip])?.restricted, undefined);
});
