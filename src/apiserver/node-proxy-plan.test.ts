import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Pod } from '#kinds/types.gen.ts';
import { chooseContainer, planAttach, planExec, planLogs } from './node-proxy-plan.ts';

const pod = (containers: string[], { init = [] as string[], node = 'box', phase = 'Running' } = {}) =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'x', namespace: 'shop' },
    spec: {
      ...(node && { nodeName: node }),
      containers: containers.map(name => ({ name })),
      ...(init.length && { initContainers: init.map(name => ({ name })) }),
    },
    status: { phase },
  }) as unknown as Pod;
const query = (text: string) => new URLSearchParams(text);

describe('the container meant', () => {
  const cases: [Pod, string | null, string | RegExp][] = [
    [pod(['a']), null, 'a'],
    [pod(['a']), '', 'a'],
    [pod(['a', 'b'], { init: ['i'] }), 'i', 'i'],
    [pod(['a', 'b']), null, /^a container name must be specified for pod x, choose one of: \[a b\]$/],
    [pod(['a', 'b'], { init: ['i', 'j'] }), null, /choose one of: \[a b\] or one of the init containers: \[i j\]$/],
    [pod(['a']), 'c', /^container c is not valid for pod x$/],
  ];
  for (const [given, wanted, result] of cases)
    test(`${wanted} of ${given.spec.containers.map(({ name }) => name)}`, () => {
      if (typeof result === 'string') assert.equal(chooseContainer(given, wanted), result);
      else assert.throws(() => chooseContainer(given, wanted), { reason: 'BadRequest', message: result });
    });
});

describe('calls of the node', () => {
  const cases: [typeof planLogs, string, string][] = [
    [planLogs, '', '/containerLogs/shop/x/a'],
    [
      planLogs,
      'follow=true&tailLines=0&limitBytes=10&timestamps=true&previous=false&sinceSeconds=5&pretty=1',
      '/containerLogs/shop/x/a?follow=true&timestamps=true&tailLines=0&sinceSeconds=5&limitBytes=10',
    ],
    [planLogs, 'sinceTime=2026-01-01T00:00:00Z&stream=Stderr', '/containerLogs/shop/x/a?sinceTime=2026-01-01T00%3A00%3A00Z&stream=Stderr'],
    [
      planExec,
      'command=sh&command=-c&command=echo+%26&stdin=true&stdout=true&stderr=1',
      '/exec/shop/x/a?input=1&output=1&error=1&command=sh&command=-c&command=echo+%26',
    ],
    [planExec, 'command=sh&stdin=1&stdout=1&stderr=1&tty=1', '/exec/shop/x/a?input=1&output=1&tty=1&command=sh'],
    [planAttach, 'stdout=true&stdin=false', '/attach/shop/x/a?output=1'],
  ];
  for (const [plan, given, path] of cases)
    test(`${plan.name} ${given}`, () => assert.deepEqual(plan(pod(['a']), query(given)), { node: 'box', pod: 'x', path }));

  const refused: [typeof planLogs, Pod, string, string, RegExp][] = [
    [planExec, pod(['a']), 'stdout=1', 'BadRequest', /at least one command/],
    [planExec, pod(['a']), 'command=sh', 'BadRequest', /at least 1 of stdin, stdout, stderr/],
    [planExec, pod(['a'], { node: '' }), 'command=sh&stdout=1', 'BadRequest', /does not have a host assigned/],
    [planAttach, pod(['a'], { phase: 'Succeeded' }), 'stdout=1', 'BadRequest', /completed pod; current phase is Succeeded/],
    [planLogs, pod(['a']), 'tailLines=-1', 'Invalid', /must be greater than or equal to 0/],
    [planLogs, pod(['a']), 'sinceSeconds=0', 'Invalid', /must be greater than 0/],
    [planLogs, pod(['a']), 'tailLines=many', 'BadRequest', /no integer/],
    [planLogs, pod(['a']), 'sinceTime=yesterday', 'BadRequest', /RFC 3339/],
    [planLogs, pod(['a']), 'sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z', 'Invalid', /at most one of/],
  ];
  for (const [plan, given, search, reason, message] of refused)
    test(`${plan.name} ${search} is refused`, () => assert.throws(() => plan(given, query(search)), { reason, message }));

  test('a pod without a node has no logs yet', () => assert.equal(planLogs(pod(['a'], { node: '' }), query('')), undefined));
});
