import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Service } from './service.ts';
import { made, problemsOf } from './testing.ts';

const service = (spec: object) => ({ spec: { ports: [{ port: 80 }], ...spec } });

const wrong: [why: string, spec: object, problems: string[]][] = [
  [
    'both families',
    { ipFamilies: ['IPv4', 'IPv6'], ipFamilyPolicy: 'PreferDualStack', clusterIP: '10.0.0.1', clusterIPs: ['10.0.0.1', 'fd00::1'] },
    [],
  ],
  ['a family that is none', { ipFamilies: ['IPX'] }, ['spec.ipFamilies[0]: Unsupported value: "IPX": supported values: "IPv4", "IPv6"']],
  ['a family twice', { ipFamilies: ['IPv4', 'IPv4'] }, ['spec.ipFamilies[1]: Duplicate value: "IPv4"']],
  [
    'a policy that is none',
    { ipFamilyPolicy: 'Both' },
    ['spec.ipFamilyPolicy: Unsupported value: "Both": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"'],
  ],
  [
    'an address of the other family',
    { ipFamilies: ['IPv6'], clusterIP: '10.0.0.1' },
    ['spec.clusterIPs[0]: Invalid value: "10.0.0.1": expected an IPv6 value as indicated by `ipFamilies[0]`'],
  ],
  [
    'two addresses of one family',
    { clusterIP: '10.0.0.1', clusterIPs: ['10.0.0.1', '10.0.0.2'] },
    ['spec.clusterIPs: Invalid value: ["10.0.0.1","10.0.0.2"]: may specify no more than one IP for each IP family'],
  ],
  [
    'families of a name',
    { type: 'ExternalName', externalName: 'a.example.com', ipFamilies: ['IPv4'] },
    ['spec.ipFamilies: Forbidden: may not be set for ExternalName services'],
  ],
  [
    'the loopback from outside',
    { externalIPs: ['127.0.0.1'] },
    ['spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'],
  ],
  [
    'source ranges without a load balancer',
    { loadBalancerSourceRanges: ['10.0.0.0/8'] },
    ["spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'"],
  ],
  [
    'a health port that nobody asks',
    { type: 'NodePort', healthCheckNodePort: 30_000 },
    [
      "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
    ],
  ],
  [
    "the kubelet's port",
    { type: 'LoadBalancer', ports: [{ port: 10_250 }] },
    ['spec.ports[0]: Invalid value: 10250: may not expose port 10250 externally since it is used by kubelet'],
  ],
];
for (const [why, spec, problems] of wrong) test(`services: ${why}`, () => assert.deepEqual(problemsOf(Service, service(spec)), problems));

const warned: [spec: object, warnings: string[]][] = [
  [{}, []],
  [{ clusterIP: 'None', sessionAffinity: 'ClientIP' }, ['spec.SessionAffinity is ignored for headless services']],
  [{ externalName: 'a.example.com' }, ['spec.externalName is ignored when spec.type is not "ExternalName"']],
];
for (const [spec, warnings] of warned)
  test(`services: ${JSON.stringify(spec)} is warned of ${warnings.length} times`, () =>
    assert.deepEqual(Service.warnings?.(made(Service, service(spec))), warnings));
