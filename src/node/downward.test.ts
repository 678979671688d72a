import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Pod } from '#kinds/pod.ts';
import { made } from '#kinds/testing.ts';
import { fieldValue, resourceValue } from './downward.ts';

const facts = { nodeName: 'n1', hostAddress: '192.0.2.1', podAddress: '10.42.0.5', allocatable: { cpu: '2', memory: '4Gi' } };
const pod = made(Pod, {
  metadata: { name: 'p', namespace: 'ns', uid: 'u-1', labels: { b: '2', a: 'x "y"' }, annotations: { 'k.io/z': 'two\nlines' } },
  spec: {
    serviceAccountName: 'robot',
    initContainers: [{ name: 'i', image: 'i', resources: { requests: { memory: '10Mi' } } }],
    containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '250m' }, limits: { memory: '100M' } } }],
  },
});
pod.metadata.uid = 'u-1';

describe('fieldValue', () => {
  const cases: [string, string][] = [
    ['metadata.name', 'p'],
    ['metadata.namespace', 'ns'],
    ['metadata.uid', 'u-1'],
    ['metadata.labels', 'a="x \\"y\\""\nb="2"'],
    ['metadata.annotations', 'k.io/z="two\\nlines"'],
    ["metadata.labels['b']", '2'],
    ["metadata.labels['none']", ''],
    ["metadata.annotations['k.io/z']", 'two\nlines'],
    ['spec.nodeName', 'n1'],
    ['spec.serviceAccountName', 'robot'],
    ['status.hostIP', '192.0.2.1'],
    ['status.hostIPs', '192.0.2.1'],
    ['status.podIP', '10.42.0.5'],
    ['status.podIPs', '10.42.0.5'],
  ];
  for (const [path, expected] of cases) test(path, () => assert.equal(fieldValue(pod, path, facts), expected));

  test('anything else is no field', () => {
    for (const path of ['spec.containers', 'status.phase', 'metadata.labels[b]', ''])
      assert.throws(() => fieldValue(pod, path, facts), { reason: 'Invalid' }, path);
  });
});

describe('resourceValue', () => {
  const cases: [string, { containerName?: string; resource: string; divisor?: string }, string][] = [
    ['a request, cores rounded up', { resource: 'requests.cpu' }, '1'],
    ['in thousandths', { resource: 'requests.cpu', divisor: '1m' }, '250'],
    ['a limit in bytes', { resource: 'limits.memory' }, '100000000'],
    ['in mebibytes, rounded up', { resource: 'limits.memory', divisor: '1Mi' }, '96'],
    ['no limit: what the node has', { resource: 'limits.cpu' }, '2'],
    ['no request', { resource: 'requests.ephemeral-storage' }, '0'],
    ['of another container', { containerName: 'i', resource: 'requests.memory', divisor: '1Mi' }, '10'],
    ['a divisor of 0 is none', { resource: 'requests.cpu', divisor: '0' }, '1'],
  ];
  for (const [what, selector, expected] of cases)
    test(what, () => assert.equal(resourceValue(pod, selector, pod.spec.containers[0], facts), expected));

  test('containers and resources that are not there are named', () => {
    assert.throws(() => resourceValue(pod, { containerName: 'x', resource: 'limits.cpu' }, undefined, facts), /no container "x"/);
    assert.throws(() => resourceValue(pod, { resource: 'usage.cpu' }, pod.spec.containers[0], facts), /"usage.cpu" is no resource/);
  });
});
