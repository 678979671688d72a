import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planAdmission, planAdmissionNotes } from './plan-admission.ts';
import { podOf } from './testing.ts';

const container = (more: object) => ({ containers: [{ name: 'main', image: 'i', ...more }] });
const asking = (requests: object) => podOf(container({ resources: { requests } }));
const port = (hostPort: number, hostIP?: string, protocol = 'TCP') =>
  podOf(container({ ports: [{ containerPort: 80, hostPort, protocol, ...(hostIP ? { hostIP } : {}) }] }));

const sysctl = (name: string) => podOf({ securityContext: { sysctls: [{ name, value: '1' }] } });

const node = { cpu: '2', memory: '1Gi', pods: '3' };
const cases: [string, Parameters<typeof planAdmission>[0], string | undefined][] = [
  ['a pod that asks for nothing', { pod: podOf(), others: [], allocatable: node }, undefined],
  ['one that fits exactly', { pod: asking({ cpu: '1500m' }), others: [asking({ cpu: '500m' })], allocatable: node }, undefined],
  ['one too much of CPU', { pod: asking({ cpu: '1501m' }), others: [asking({ cpu: '500m' })], allocatable: node }, 'OutOfcpu'],
  ['one too much of memory', { pod: asking({ memory: '2Gi' }), others: [], allocatable: node }, 'OutOfmemory'],
  ['one too many', { pod: podOf(), others: [podOf(), podOf(), podOf()], allocatable: node }, 'OutOfpods'],
  ['what the node does not count', { pod: asking({ 'example.com/gpu': '1' }), others: [], allocatable: node }, undefined],
  [
    'a profile that would not be applied',
    { pod: podOf({ securityContext: { appArmorProfile: { type: 'RuntimeDefault' } } }), others: [], allocatable: node },
    'AppArmor',
  ],
  [
    'a profile where profiles are applied',
    {
      pod: podOf({ securityContext: { appArmorProfile: { type: 'RuntimeDefault' } } }),
      others: [],
      allocatable: node,
      traits: { hasAppArmor: true },
    },
    undefined,
  ],
  ['a safe sysctl', { pod: sysctl('net.ipv4.tcp_syncookies'), others: [], allocatable: node }, undefined],
  ['one that is not', { pod: sysctl('net.core.somaxconn'), others: [], allocatable: node }, 'SysctlForbidden'],
  [
    'one that is allowed here',
    { pod: sysctl('net.core.somaxconn'), others: [], allocatable: node, allowedUnsafeSysctls: ['kernel.msg*', 'net.core.*'] },
    undefined,
  ],
  ['a port that is free', { pod: port(80), others: [port(81)], allocatable: node }, undefined],
  ['a port that is taken', { pod: port(80), others: [port(80)], allocatable: node }, 'NodePorts'],
  ['its other protocol', { pod: port(80), others: [port(80, undefined, 'UDP')], allocatable: node }, undefined],
  ['on another address', { pod: port(80, '127.0.0.1'), others: [port(80, '127.0.0.2')], allocatable: node }, undefined],
  ['on all addresses', { pod: port(80, '127.0.0.1'), others: [port(80)], allocatable: node }, 'NodePorts'],
  ['a node of unknown size', { pod: asking({ cpu: '99' }), others: [], allocatable: {} }, undefined],
];
for (const [name, picture, expected] of cases) test(name, () => assert.equal(planAdmission(picture)?.reason, expected));

test('it is said as the kubelet does', () => {
  const { message } = planAdmission({ pod: asking({ cpu: '3' }), others: [asking({ cpu: '100m' })], allocatable: node }) ?? {};
  assert.equal(message, "Pod was rejected: Node didn't have enough resource: cpu, requested: 3000, used: 100, capacity: 2000");
});

test('sysctls and profiles are refused in its words, too; options of SELinux are only told of', () => {
  const picture = { others: [], allocatable: node };
  const { message } = planAdmission({ ...picture, pod: sysctl('kernel.msgmax') }) ?? {};
  assert.equal(message, 'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted');
  const labelled = podOf({ securityContext: { seLinuxOptions: { level: 's0:c1' } } });
  assert.deepEqual(
    planAdmissionNotes(labelled, { hasSelinux: false }).map(({ reason }) => reason),
    ['SELinuxUnavailable'],
  );
  assert.deepEqual(planAdmissionNotes(labelled, { hasSelinux: true }), []);
  assert.deepEqual(planAdmissionNotes(podOf(), { hasSelinux: false }), []);
});
