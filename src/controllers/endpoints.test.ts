import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Endpoints } from '#kinds/core.ts';
import type { EndpointSlice } from '#kinds/endpoint-slice.ts';
import type { Service } from '#kinds/service.ts';
import { planMirror } from './endpoint-slice-mirroring.ts';
import { planEndpoints, saysTheSame } from './endpoints-plan.ts';

const meta = (name: string) => ({ name, namespace: 'n', uid: name, resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' });
const service = (spec: object = { selector: { app: 'a' }, clusterIP: '10.0.0.1' }) =>
  ({ apiVersion: 'v1', kind: 'Service', metadata: { ...meta('s'), labels: { own: 'label' } }, spec }) as unknown as Service;
const at = (ip: string, conditions: object = { ready: true, serving: true, terminating: false }) => ({
  addresses: [ip],
  conditions,
  nodeName: 'node',
  targetRef: { kind: 'Pod', namespace: 'n', name: `p-${ip}`, uid: ip },
});
const slice = (ports: object[], endpoints: object[]) =>
  ({ metadata: meta('slice'), addressType: 'IPv4', ports, endpoints }) as unknown as EndpointSlice;
const WEB = { name: 'web', port: 80, protocol: 'TCP' };

test('Endpoints: one subset for each set of ports, unready ones apart, ending ones nowhere', () => {
  const ending = at('10.1.0.4', { ready: false, serving: true, terminating: true });
  const unready = at('10.1.0.2', { ready: false, serving: false, terminating: false });
  const slices = [
    slice([WEB], [at('10.1.0.3'), unready, ending]),
    slice([WEB], [at('10.1.0.1')]),
    slice([{ ...WEB, port: 81 }], [at('10.1.0.9')]),
  ];
  const { metadata, subsets } = planEndpoints(service(), slices);
  assert.deepEqual(metadata.labels, { own: 'label', 'endpoints.kubernetes.io/managed-by': 'endpoint-controller' });
  assert.deepEqual(
    subsets?.map(({ ports, addresses, notReadyAddresses = [] }) => [
      ports?.[0]?.port,
      addresses?.map(({ ip }) => ip),
      notReadyAddresses.map(({ ip }) => ip),
    ]),
    [
      [80, ['10.1.0.1', '10.1.0.3'], ['10.1.0.2']],
      [81, ['10.1.0.9'], []],
    ],
  );
  assert.equal(planEndpoints(service(), [slice([WEB], [])]).subsets, undefined);
});

test('Endpoints: what others noted on them is no reason to write; a changed address is; a headless Service says so', () => {
  const wanted = planEndpoints(service(), [slice([WEB], [at('10.1.0.1')])]);
  const present = { ...wanted, metadata: { ...meta('s'), ...wanted.metadata, annotations: { note: 'x' } } } as Endpoints;
  assert.ok(saysTheSame(present, wanted));
  assert.ok(!saysTheSame(present, planEndpoints(service(), [slice([WEB], [at('10.1.0.2')])])));
  assert.equal(planEndpoints(service({ selector: {}, clusterIP: 'None' }), []).metadata.labels?.['service.kubernetes.io/headless'], '');
});

test('Endpoints of more than 1000 addresses are cut, and say so', () => {
  const many = Array.from({ length: 1001 }, (_, i) => at(`10.1.${i >> 8}.${i & 255}`));
  const { metadata, subsets } = planEndpoints(service(), [slice([WEB], many)]);
  assert.equal(subsets?.[0]?.addresses?.length, 1000);
  assert.equal(metadata.annotations?.['endpoints.kubernetes.io/over-capacity'], 'truncated');
});

const custom = (more: object = {}, subsets: object[] = [{ addresses: [{ ip: '10.1.2.3' }], ports: [{ port: 80, protocol: 'TCP' }] }]) =>
  ({ metadata: { ...meta('s'), ...more }, subsets }) as unknown as Endpoints;
const settled = (plan: ReturnType<typeof planMirror>): EndpointSlice[] => [
  ...plan.create.map((draft, i) => ({ ...draft, metadata: { ...meta(`m${i}`), ...draft.metadata } }) as EndpointSlice),
  ...plan.update,
];

test('mirroring: made, then only changed, then removed when nobody wants it any more', () => {
  const bare = service({});
  const made = settled(planMirror(custom(), bare, []));
  assert.deepEqual(
    made.map(({ addressType, ports, endpoints }) => [addressType, ports?.[0]?.port, endpoints?.[0]?.addresses]),
    [['IPv4', 80, ['10.1.2.3']]],
  );
  assert.equal(made[0]?.metadata.labels?.['endpointslice.kubernetes.io/managed-by'], 'endpointslicemirroring-controller.k8s.io');
  assert.deepEqual(planMirror(custom(), bare, made), { create: [], update: [], remove: [] });
  const moved = planMirror(custom({}, [{ addresses: [{ ip: '10.2.3.4' }], ports: [{ port: 81 }] }]), bare, made);
  assert.deepEqual([moved.create.length, moved.update[0]?.metadata.name, moved.remove.length], [0, 'm0', 0]);
  assert.deepEqual([moved.update[0]?.ports?.[0]?.port, moved.update[0]?.endpoints?.[0]?.addresses], [81, ['10.2.3.4']]);
  for (const [endpoints, its] of [
    [custom({}, []), bare],
    [custom(), undefined],
    [custom(), service()],
    [custom({ labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } }), bare],
    [custom({ annotations: { 'control-plane.alpha.kubernetes.io/leader': '{}' } }), bare],
  ] as const)
    assert.deepEqual(planMirror(endpoints, its, made), { create: [], update: [], remove: made });
});

test('mirroring: a slice for each family of addresses', () => {
  const both = custom({}, [
    { addresses: [{ ip: '10.1.2.3' }, { ip: 'fd00::1' }], notReadyAddresses: [{ ip: '10.1.2.4' }], ports: [{ port: 80 }] },
  ]);
  const { create } = planMirror(both, service({}), []);
  assert.deepEqual(
    create.map(({ addressType, endpoints }) => [
      addressType,
      endpoints?.map(({ addresses, conditions }) => [addresses[0], conditions?.ready]),
    ]),
    [
      [
        'IPv4',
        [
          ['10.1.2.3', true],
          ['10.1.2.4', false],
        ],
      ],
      ['IPv6', [['fd00::1', true]]],
    ],
  );
});
