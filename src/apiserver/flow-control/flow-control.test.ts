import assert from 'node:assert/strict';
import https from 'node:https';
import { describe, test } from 'node:test';
import { ManualClock, systemClock } from '#base/clock.ts';
import type { FlowSchema, PriorityLevelConfiguration } from '#kinds/types.gen.ts';
import type { Context, Outcome } from '../request.ts';
import { at, startTestCluster } from '../test-cluster.ts';
import { planFlow } from './apply-flows.ts';
import { bootstrapFlows, bootstrapLevels } from './bootstrap-flows.ts';
import { FlowControl } from './flow-control.ts';
import { type FlowRequest, fitsFlow, inOrder } from './flow-matching.ts';
import { dealHand, QueueSet } from './queue-set.ts';
import { planSeats } from './seats.ts';

const DONE: Outcome = { type: 'value', status: 200, value: {} };
const served = (plural: string, group = '') => ({ resource: { plural, group, version: 'v1' }, cache: { size: 0 } });

/** A request of somebody, as the pipeline has it. */
function context(
  name: string,
  { groups = ['system:authenticated'], verb = 'get', plural = 'pods', group = '', namespace = 'shop' } = {},
): Context {
  const route = { type: 'resource', served: served(plural, group), verb, namespace, name: 'x', subresource: '', rest: '' };
  const request = { headers: {}, signal: new AbortController().signal };
  return { identity: { name, groups }, route, request, query: new URLSearchParams(), warnings: [] } as unknown as Context;
}

const node = (name: string) =>
  context(`system:node:${name}`, {
    groups: ['system:nodes', 'system:authenticated'],
    verb: 'update',
    plural: 'leases',
    group: 'coordination.k8s.io',
    namespace: 'kube-node-lease',
  });

/** Work that ends when told to. */
function slowly() {
  const ends: (() => void)[] = [];
  const next = () => new Promise<Outcome>(resolve => ends.push(() => resolve(DONE)));
  return { ends, next };
}

const settle = () => new Promise(resolve => setImmediate(resolve));

test('the first schema in precedence that fits takes a request', () => {
  const schemas = inOrder(bootstrapFlows() as FlowSchema[]);
  const cases: [string, Partial<FlowRequest> & { groups?: string[]; name?: string }, string][] = [
    ['masters', { groups: ['system:masters', 'system:authenticated'] }, 'exempt'],
    ['probes', { resource: undefined, path: '/healthz', verb: 'get', groups: ['system:unauthenticated'] }, 'probes'],
    [
      'nodes’ leases',
      { groups: ['system:nodes'], resource: 'leases', group: 'coordination.k8s.io', namespace: 'kube-node-lease' },
      'system-node-high',
    ],
    ['nodes’ status', { groups: ['system:nodes'], resource: 'nodes/status', namespace: '' }, 'system-node-high'],
    ['nodes’ pods', { groups: ['system:nodes'] }, 'system-nodes'],
    ['the scheduler', { name: 'system:kube-scheduler' }, 'kube-scheduler'],
    [
      'the scheduler’s lease',
      { name: 'system:kube-scheduler', resource: 'leases', group: 'coordination.k8s.io' },
      'system-leader-election',
    ],
    [
      'accounts of the system',
      { name: 'system:serviceaccount:kube-system:x', groups: ['system:serviceaccounts'] },
      'kube-system-service-accounts',
    ],
    ['accounts', { name: 'system:serviceaccount:shop:x', groups: ['system:serviceaccounts', 'system:authenticated'] }, 'service-accounts'],
    ['people', {}, 'global-default'],
  ];
  for (const [what, { groups = ['system:authenticated'], name = 'jane', ...rest }, expected] of cases) {
    const request = { identity: { name, groups }, verb: 'get', group: '', resource: 'pods', namespace: 'shop', path: '', ...rest };
    assert.equal(schemas.find(schema => fitsFlow(schema, request))?.metadata.name, expected, what);
  }
});

test('seats are shared by shares, and lent by percent', () => {
  const plan = planSeats(bootstrapLevels() as PriorityLevelConfiguration[], 245);
  assert.deepEqual(plan.get('workload-low'), { nominal: 100, reserved: 10, most: Number.POSITIVE_INFINITY });
  assert.deepEqual(plan.get('leader-election'), { nominal: 10, reserved: 10, most: Number.POSITIVE_INFINITY });
  assert.equal(plan.get('exempt'), undefined);
});

describe('queues', () => {
  test('a hand has different cards, the same for the same flow, all cards about as often', () => {
    const counts = new Array<number>(16).fill(0);
    for (let hash = 0; hash < 16 * 15 * 14; hash++) {
      const hand = dealHand(hash, 16, 3);
      assert.equal(new Set(hand).size, 3);
      for (const card of hand) counts[card]!++;
    }
    assert.deepEqual(new Set(counts), new Set([15 * 14 * 3]));
  });

  test('who has many waiting gets no more turns than who has one', () => {
    const queues = new QueueSet({ queues: 64, handSize: 1, queueLengthLimit: 50 });
    const turns: string[] = [];
    const add = (flow: string) => queues.add(flow, { seats: 1, start: () => turns.push(flow) });
    for (let i = 0; i < 50; i++) assert.ok(add('loud'));
    assert.equal(add('loud'), false, 'its queue is full');
    queues.take()?.start();
    assert.ok(add('quiet'));
    for (let i = 0; i < 3; i++) queues.take()?.start();
    assert.ok(turns.indexOf('quiet') <= 2, turns.join());
  });
});

describe('flow control', () => {
  test('200 slow requests of one user do not stop a node’s lease, nor another user for long', async () => {
    const flows = new FlowControl({ clock: new ManualClock(), seats: 60 });
    const { ends, next } = slowly();
    const refusals: unknown[] = [];
    for (let i = 0; i < 400; i++)
      try {
        flows.step(context('loud'), next).catch(error => refusals.push(error));
      } catch (error) {
        refusals.push(error);
      }
    await settle();
    const { executing, waiting } = flows.usage('global-default');
    assert.equal(executing, ends.length);
    assert.ok(executing >= 5 && executing <= 45, `${executing} at a time`);
    assert.equal(executing + waiting + refusals.length, 400);
    assert.ok(refusals.length > 0 && refusals.every(error => at(error, 'reason') === 'TooManyRequests'));
    let leased = false;
    await flows.step(node('box'), async () => {
      leased = true;
      return DONE;
    });
    assert.ok(leased);
    let quiet = false;
    flows.step(context('quiet'), async () => {
      quiet = true;
      return DONE;
    });
    for (let turns = 0; !quiet && turns < 40; turns++) {
      ends.shift()?.();
      await settle();
    }
    assert.ok(quiet, 'the quiet user has its turn before the loud one’s many');
    while (ends.length) {
      ends.shift()?.();
      await settle();
    }
    assert.deepEqual(flows.usage('global-default'), { executing: 0, waiting: 0 });
  });

  test('idle levels lend, and their own come first when seats are free again', async () => {
    const flows = new FlowControl({ clock: new ManualClock(), seats: 245 });
    const people = slowly();
    for (let i = 0; i < 300; i++) flows.step(context(`user-${i}`), people.next).catch(() => {});
    await settle();
    const lent = flows.usage('global-default').executing;
    assert.ok(lent > 20 + 100, `${lent} of 245 with 20 nominal`);
    const work = slowly();
    const robot = (i: number) => context(`system:serviceaccount:shop:robot-${i}`, { groups: ['system:serviceaccounts'] });
    for (let i = 0; i < 40; i++) flows.step(robot(i), work.next).catch(() => {});
    await settle();
    assert.equal(work.ends.length, 10, 'what is reserved is there at once');
    for (let i = 0; i < 20; i++) people.ends.shift()?.();
    await settle();
    await settle();
    assert.equal(work.ends.length, 30, 'what comes free goes to those below their share');
  });

  test('who waits too long, or has gone, waits no longer', async () => {
    const clock = new ManualClock();
    const flows = new FlowControl({ clock, seats: 1, mostWaitMs: 1000 });
    const { next } = slowly();
    const errors: unknown[] = [];
    const gone = new AbortController();
    for (let i = 0; i < 8; i++) flows.step(context('jane'), next).catch(error => errors.push(error));
    const leaving = context('jane');
    Object.assign(leaving.request, { signal: gone.signal });
    flows.step(leaving, next).catch(error => errors.push(error));
    await settle();
    const { waiting } = flows.usage('global-default');
    assert.ok(waiting > 1);
    gone.abort();
    await settle();
    assert.equal(flows.usage('global-default').waiting, waiting - 1);
    clock.advance(1000);
    await settle();
    assert.equal(flows.usage('global-default').waiting, 0);
    assert.equal(errors.length, waiting);
  });

  test('costs microseconds when nobody waits', async () => {
    const flows = new FlowControl({ clock: systemClock });
    const done = Promise.resolve(DONE);
    const request = context('jane');
    let spentMs = 0;
    for (let round = 0; round < 1000; round++) {
      const began = performance.now();
      for (let i = 0; i < 20; i++) flows.step(request, () => done);
      spentMs += performance.now() - began;
      await settle();
    }
    assert.ok(spentMs / 20 < 50, `${spentMs / 20} µs each`);
  });
});

test('bootstrap objects: mandatory ones stay, suggested ones are their owner’s when said so', () => {
  const [exempt, system] = [bootstrapLevels()[0]!, bootstrapLevels()[2]!];
  const kept = { metadata: { annotations: { 'apf.kubernetes.io/autoupdate-spec': 'false' } }, spec: {} };
  assert.equal(planFlow(exempt, undefined), 'create');
  assert.equal(planFlow(exempt, kept), 'update');
  assert.equal(planFlow(system, kept), undefined);
  assert.equal(planFlow(system, { ...system, spec: {} }), 'update');
  assert.equal(planFlow(system, system), undefined);
});

test('over HTTPS: unfinished bodies of one user hold its seats alone; the others are told to come again', { timeout: 30_000 }, async () => {
  await using cluster = await startTestCluster({ seats: 25 });
  const { client } = await cluster.pki.node('box', []);
  const jane = await cluster.pki.client('jane', ['dev']);
  const rbac = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings';
  const subjects = [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'jane' }];
  await cluster.call('POST', rbac, {
    metadata: { name: 'jane' },
    roleRef: { kind: 'ClusterRole', name: 'edit', apiGroup: 'rbac.authorization.k8s.io' },
    subjects,
  });
  const level = '/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations/global-default';
  const short = { spec: { limited: { limitResponse: { queuing: { queueLengthLimit: 2 } } } } };
  await cluster.call('PATCH', level, short, { 'content-type': 'application/merge-patch+json' });
  const agentOf = (pair: { certificate: string; key: string }) =>
    new https.Agent({ ca: cluster.pki.authority.certificate, cert: pair.certificate, key: pair.key, keepAlive: true });
  const [janes, boxes] = [agentOf(jane), agentOf(client)];
  const path = `${cluster.url}/api/v1/namespaces/default/configmaps`;
  const answers: { status: number; headers: Record<string, unknown> }[] = [];
  const refused = Promise.withResolvers<void>();
  const hanging = Array.from({ length: 60 }, () => {
    const headers = { 'content-type': 'application/json', 'content-length': 1000 };
    const request = https.request(path, { method: 'POST', agent: janes, headers }, response => {
      answers.push({ status: response.statusCode ?? 0, headers: response.headers });
      response.resume();
      refused.resolve();
    });
    request.on('error', () => {});
    request.write('{');
    return request;
  });
  try {
    await refused.promise;
    assert.equal(answers[0]?.status, 429);
    assert.equal(answers[0]?.headers['retry-after'], '1');
    const schema = await cluster.call('GET', '/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/global-default');
    assert.equal(answers[0]?.headers['x-kubernetes-pf-flowschema-uid'], at(schema.body, 'metadata.uid'));
    const lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'box', namespace: 'kube-node-lease' },
      spec: {},
    };
    const status = await new Promise((resolve, reject) => {
      const url = `${cluster.url}/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases`;
      const request = https.request(url, { method: 'POST', agent: boxes, headers: { 'content-type': 'application/json' } }, response => {
        response.resume();
        resolve(response.statusCode);
      });
      request.on('error', reject);
      request.end(JSON.stringify(lease));
    });
    assert.equal(status, 201);
    const { text } = await cluster.call('GET', '/metrics');
    assert.match(
      text,
      /apiserver_flowcontrol_current_inqueue_requests\{priority_level="global-default"\} [1-9]/,
      'administrators are never stopped',
    );
  } finally {
    for (const request of hanging) request.destroy();
    janes.destroy();
    boxes.destroy();
  }
});
