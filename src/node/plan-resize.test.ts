import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Pod } from '#kinds/pod.ts';
import { Allocations } from './allocations.ts';
import { planGrant, resizeMessage, specAllocation, toldAllocation, withAllocation } from './plan-resize.ts';
import { podOf } from './testing.ts';

const asking = (cpu: string, memory = '1Gi', more: Parameters<typeof podOf>[1] = {}) =>
  podOf({ containers: [{ name: 'main', image: 'i', resources: { requests: { cpu, memory } } }] }, more);
const named = (uid: string, cpu: string, status?: Pod['status']) =>
  asking(cpu, '1Mi', { metadata: { uid, name: uid, generation: 2 }, ...(status ? { status } : {}) });
const allocatable = { cpu: '2', memory: '4Gi', pods: '10' };

describe('planGrant', () => {
  const cases: [string, Pod, Pod[], string | undefined][] = [
    ['what fits', asking('1500m'), [asking('500m')], undefined],
    [
      'more than others leave',
      asking('1600m'),
      [asking('500m')],
      "Deferred: Node didn't have enough resource: cpu, requested: 1600, used: 500, capacity: 2000",
    ],
    ['more than the node has', asking('3'), [], "Infeasible: Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000"],
    [
      'more memory than the node has, which is said first',
      asking('3', '5Gi'),
      [],
      "Infeasible: Node didn't have enough capacity: memory, requested: 5368709120, capacity: 4294967296",
    ],
  ];
  for (const [name, pod, others, expected] of cases)
    test(name, () => {
      const pending = planGrant({ pod, others, allocatable });
      assert.equal(pending && `${pending.reason}: ${pending.message}`, expected);
    });

  test('a node of unknown size grants everything', () =>
    assert.equal(planGrant({ pod: asking('99'), others: [], allocatable: {} }), undefined));
});

describe('allocations', () => {
  test('the same object where nothing differs, however the amounts are written', () => {
    const pod = asking('1');
    assert.equal(withAllocation(pod, specAllocation(asking('1000m', '1024Mi'))), pod);
    const granted = withAllocation(asking('2'), specAllocation(pod));
    assert.deepEqual(granted.spec.containers[0]?.resources, { requests: { cpu: '1', memory: '1Gi' } });
  });

  test('what was told before is what was granted', () => {
    const containerStatuses = [
      { name: 'main', allocatedResources: { cpu: '1' }, resources: { limits: { cpu: '2' }, requests: { cpu: '1' } } },
    ];
    const pod = asking('3', '1Gi', { status: { containerStatuses } as unknown as Pod['status'] });
    assert.deepEqual(toldAllocation(pod).get('main'), { requests: { cpu: '1' }, limits: { cpu: '2' } });
    assert.deepEqual(toldAllocation(asking('3')).get('main'), { requests: { cpu: '3', memory: '1Gi' } });
  });

  test('a resize waits for room, is told once, and is granted when there is some', () => {
    const events: string[] = [];
    const note = (_: unknown, reason: string, message: string) => void events.push(`${reason} ${message.split(':')[0]}`);
    const allocations = new Allocations({ allocatable, events: { normal: note, warning: note } });
    const [small, other] = [named('a', '500m'), named('b', '1')];
    let others = [other];
    assert.deepEqual(
      allocations.settle(small, () => others),
      { pod: small, hasChanged: false },
    );
    assert.deepEqual(
      allocations.settle(other, () => [small]),
      { pod: other, hasChanged: false },
    );

    const large = named('a', '1500m');
    const waiting = allocations.settle(large, () => others);
    assert.equal(waiting.pending?.reason, 'Deferred');
    assert.equal(waiting.pod.spec.containers[0]?.resources?.requests?.cpu, '500m');
    assert.equal(allocations.settle(large, () => others).pending?.reason, 'Deferred');
    assert.deepEqual(allocations.deferred(), ['a']);
    assert.equal(allocations.granted(large).spec.containers[0]?.resources?.requests?.cpu, '500m', 'what counts for others');

    assert.equal(allocations.settle(named('a', '9'), () => others).pending?.reason, 'Infeasible');
    assert.deepEqual(allocations.deferred(), []);

    others = [];
    const granted = allocations.settle(large, () => others);
    assert.deepEqual([granted.pod, granted.pending, granted.hasChanged], [large, undefined, true]);
    assert.deepEqual(events, [
      'ResizeDeferred Pod resize Deferred',
      'ResizeInfeasible Pod resize Infeasible',
      'ResizeStarted Pod resize started',
    ]);
  });
});

test('a resize is told as the kubelet tells it', () =>
  assert.equal(
    resizeMessage('Deferred', named('a', '1'), 'no room'),
    'Pod resize Deferred: {"containers":[{"name":"main","resources":{"requests":{"cpu":"1","memory":"1Mi"}}}],"generation":2,"error":"no room"}',
  ));
