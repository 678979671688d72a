import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Event } from '#kinds/event.ts';
import { isJobFinished, Job } from '#kinds/job.ts';
import type { Draft } from '#kinds/kind.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodActive } from '#kinds/pod-template.ts';
import { ControlPlane, type View } from '#tests/control-plane.ts';

const NAMESPACE = 'default';

function job(name: string, spec: Partial<Job['spec']> = {}): Draft<Job> {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace: NAMESPACE },
    spec: {
      ...spec,
      template: { metadata: { labels: { app: name } }, spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }] } },
    },
  };
}

const key = (name: string) => ({ namespace: NAMESPACE, name });
const podsOf = (view: View, app: string) => view.list(Pod, NAMESPACE).filter(({ metadata }) => metadata.labels?.app === app);
const running = (view: View, app: string) => podsOf(view, app).filter(pod => isPodActive(pod) && pod.status?.phase === 'Running');
const has = (view: View, name: string, type: string) =>
  view.get(Job, key(name))?.status?.conditions?.find(one => one.type === type && one.status === 'True');
const indexOf = (pod: Pod) => pod.metadata.annotations?.['batch.kubernetes.io/job-completion-index'];

test('Jobs', { timeout: 120_000 }, async t => {
  await using plane = await ControlPlane.start({ nodes: 2, also: [Job] });
  const { client, cluster } = plane;
  const end = async (pod: Pod | undefined, phase: 'Succeeded' | 'Failed', exitCode = phase === 'Failed' ? 1 : 0) => {
    assert.ok(pod);
    const finishedAt = new Date(Date.now() - 3_600_000).toISOString().replace(/\.\d+/, '');
    const terminated = { exitCode, finishedAt, startedAt: finishedAt };
    const containerStatuses = [{ name: 'c', image: 'i', imageID: '', ready: false, restartCount: 0, state: { terminated } }];
    await client.patch(Pod, pod.metadata, { status: { phase, containerStatuses } }, { type: 'merge', subresource: 'status' });
  };

  await t.test('completions with parallelism; finalizers go; counted; complete', async () => {
    await client.create(Job, job('sum', { completions: 3, parallelism: 2 }));
    await plane.until('2 run', view => running(view, 'sum').length === 2);
    assert.ok(podsOf(plane.view, 'sum').every(({ metadata }) => metadata.finalizers?.includes('batch.kubernetes.io/job-tracking')));
    for (let done = 1; done <= 3; done++) {
      await end(running(plane.view, 'sum')[0], 'Succeeded');
      await plane.until(`${done} counted`, view => view.get(Job, key('sum'))?.status?.succeeded === done);
      if (done < 3) await plane.until('the next runs', view => running(view, 'sum').length === Math.min(2, 3 - done));
    }
    await plane.until('complete', view => has(view, 'sum', 'Complete') !== undefined);
    const { status } = plane.view.get(Job, key('sum'))!;
    assert.ok(status?.completionTime && status.startTime);
    assert.equal(has(plane.view, 'sum', 'SuccessCriteriaMet')?.reason, 'CompletionsReached');
    assert.deepEqual(status.uncountedTerminatedPods ?? {}, {});
    assert.equal(podsOf(plane.view, 'sum').length, 3);
    assert.ok(podsOf(plane.view, 'sum').every(({ metadata }) => !metadata.finalizers?.length));
    await cluster.kubectl('wait', 'job/sum', '--for=condition=complete', '--timeout=10s');
    await plane.until('it says so', view => view.list(Event, NAMESPACE).some(({ reason }) => reason === 'Completed'));
  });

  await t.test('backoffLimit: failures are counted, live pods ended, and the Job has failed', async () => {
    await client.create(Job, job('doomed', { completions: 2, parallelism: 2, backoffLimit: 0 }));
    await plane.until('2 run', view => running(view, 'doomed').length === 2);
    await end(running(plane.view, 'doomed')[0], 'Failed');
    await plane.until('failed', view => has(view, 'doomed', 'Failed') !== undefined);
    assert.equal(has(plane.view, 'doomed', 'Failed')?.reason, 'BackoffLimitExceeded');
    assert.equal(plane.view.get(Job, key('doomed'))?.status?.failed, 2);
    assert.equal(running(plane.view, 'doomed').length, 0);
  });

  await t.test('Indexed: each pod knows its index; completedIndexes; a failed index is tried again', async () => {
    await client.create(Job, job('ix', { completions: 4, parallelism: 4, completionMode: 'Indexed' }));
    await plane.until('4 run', view => running(view, 'ix').length === 4);
    const pods = running(plane.view, 'ix').sort((a, b) => Number(indexOf(a)) - Number(indexOf(b)));
    assert.deepEqual(pods.map(indexOf), ['0', '1', '2', '3']);
    assert.equal(pods[2]?.spec.hostname, 'ix-2');
    assert.match(pods[2]?.metadata.name ?? '', /^ix-2-/);
    assert.equal(pods[2]?.metadata.labels?.['batch.kubernetes.io/job-completion-index'], '2');
    assert.equal(pods[2]?.spec.containers[0]?.env?.[0]?.name, 'JOB_COMPLETION_INDEX');
    for (const index of [0, 1, 3]) await end(pods[index], 'Succeeded');
    await plane.until('3 are counted', view => view.get(Job, key('ix'))?.status?.completedIndexes === '0,1,3');
    await end(pods[2], 'Failed');
    await plane.until('index 2 again', view => running(view, 'ix').some(pod => indexOf(pod) === '2'));
    await end(running(plane.view, 'ix')[0], 'Succeeded');
    await plane.until('complete', view => has(view, 'ix', 'Complete') !== undefined);
    assert.equal(plane.view.get(Job, key('ix'))?.status?.completedIndexes, '0-3');
    assert.equal(plane.view.get(Job, key('ix'))?.status?.failed, 1);
  });

  await t.test('backoffLimitPerIndex: one index fails, the others go on', async () => {
    await client.create(Job, job('per', { completions: 2, parallelism: 2, completionMode: 'Indexed', backoffLimitPerIndex: 1 }));
    const ofIndex = (view: View, index: string) => running(view, 'per').find(pod => indexOf(pod) === index);
    await plane.until('2 run', view => running(view, 'per').length === 2);
    const first = ofIndex(plane.view, '0');
    await end(first, 'Failed');
    await plane.until('again', view => {
      const again = ofIndex(view, '0');
      return again !== undefined && again.metadata.uid !== first?.metadata.uid;
    });
    assert.equal(ofIndex(plane.view, '0')?.metadata.annotations?.['batch.kubernetes.io/job-index-failure-count'], '1');
    await end(ofIndex(plane.view, '0'), 'Failed');
    await plane.until('index 0 has failed', view => view.get(Job, key('per'))?.status?.failedIndexes === '0');
    await end(ofIndex(plane.view, '1'), 'Succeeded');
    await plane.until('failed in the end', view => has(view, 'per', 'Failed') !== undefined);
    assert.equal(has(plane.view, 'per', 'Failed')?.reason, 'FailedIndexes');
    assert.equal(plane.view.get(Job, key('per'))?.status?.completedIndexes, '1');
  });

  await t.test('podFailurePolicy: an exit code fails the Job, another is ignored', async () => {
    const rules = [
      { action: 'Ignore', onExitCodes: { operator: 'In', values: [7] } },
      { action: 'FailJob', onExitCodes: { containerName: 'c', operator: 'In', values: [42] } },
    ];
    await client.create(Job, job('policy', { podFailurePolicy: { rules }, backoffLimit: 0 }));
    await plane.until('runs', view => running(view, 'policy').length === 1);
    await end(running(plane.view, 'policy')[0], 'Failed', 7);
    await plane.until('runs again', view => podsOf(view, 'policy').length === 2 && running(view, 'policy').length === 1);
    const victim = running(plane.view, 'policy')[0];
    await end(victim, 'Failed', 42);
    await plane.until('failed', view => has(view, 'policy', 'Failed') !== undefined);
    const failed = has(plane.view, 'policy', 'Failed');
    assert.equal(failed?.reason, 'PodFailurePolicy');
    assert.equal(
      failed?.message,
      `Container c for pod default/${victim?.metadata.name} failed with exit code 42 matching FailJob rule at index 1`,
    );
    assert.equal(plane.view.get(Job, key('policy'))?.status?.failed, 1);
  });

  await t.test('successPolicy: enough indexes end the rest', async () => {
    const successPolicy = { rules: [{ succeededIndexes: '0,2', succeededCount: 1 }] };
    await client.create(Job, job('early', { completions: 3, parallelism: 3, completionMode: 'Indexed', successPolicy }));
    await plane.until('3 run', view => running(view, 'early').length === 3);
    await end(
      running(plane.view, 'early').find(pod => indexOf(pod) === '2'),
      'Succeeded',
    );
    await plane.until('complete', view => has(view, 'early', 'Complete') !== undefined);
    assert.equal(has(plane.view, 'early', 'Complete')?.reason, 'SuccessPolicy');
    const { status } = plane.view.get(Job, key('early'))!;
    assert.deepEqual([status?.succeeded, status?.failed ?? 0], [1, 0]);
  });

  await t.test('suspend ends the pods without counting them, resume makes new ones', async () => {
    await client.create(Job, job('pause', { parallelism: 2, completions: 2 }));
    await plane.until('2 run', view => running(view, 'pause').length === 2);
    await client.patch(Job, key('pause'), { spec: { suspend: true } });
    await plane.until('none', view => podsOf(view, 'pause').length === 0 && has(view, 'pause', 'Suspended') !== undefined);
    assert.equal(plane.view.get(Job, key('pause'))?.status?.failed ?? 0, 0);
    await client.patch(Job, key('pause'), { spec: { suspend: false } });
    await plane.until('2 run again', view => running(view, 'pause').length === 2 && has(view, 'pause', 'Suspended') === undefined);
  });

  await t.test('activeDeadlineSeconds', async () => {
    await client.create(Job, job('late', { activeDeadlineSeconds: 1 }));
    await plane.until('failed', view => has(view, 'late', 'Failed')?.reason === 'DeadlineExceeded');
  });

  await t.test('podReplacementPolicy Failed waits for the pod to have ended', async () => {
    plane.kubelet.isStubborn = pod => pod.metadata.labels?.app === 'patient';
    await client.create(Job, job('patient', { podReplacementPolicy: 'Failed' }));
    await plane.until('runs', view => running(view, 'patient').length === 1);
    const [first] = podsOf(plane.view, 'patient');
    await client.delete(Pod, first!.metadata);
    await plane.until('it is terminating', view => view.get(Job, key('patient'))?.status?.terminating === 1);
    assert.equal(podsOf(plane.view, 'patient').length, 1);
    await end(plane.view.get(Pod, first!.metadata), 'Failed');
    await plane.until('another', view => running(view, 'patient').length === 1);
    delete plane.kubelet.isStubborn;
    plane.replay();
  });

  await t.test('managed by another: nothing is done', async () => {
    await client.create(Job, job('foreign', { managedBy: 'example.com/theirs' }));
    await client.create(Job, job('ours'));
    await plane.until('ours runs', view => running(view, 'ours').length === 1);
    assert.equal(podsOf(plane.view, 'foreign').length, 0);
  });

  await t.test('an orphan is adopted again; a pod without its labels is let go, finalizer and all', async () => {
    await client.create(Job, job('family', { parallelism: 2, completions: 2 }));
    await plane.until('2 run', view => running(view, 'family').length === 2);
    const [orphan, stray] = podsOf(plane.view, 'family');
    await client.patch(Pod, orphan!.metadata, { metadata: { ownerReferences: null } }, { type: 'merge' });
    await plane.until('adopted', view => view.get(Pod, orphan!.metadata)?.metadata.ownerReferences?.[0]?.name === 'family');
    await client.patch(Pod, stray!.metadata, { metadata: { labels: null } }, { type: 'merge' });
    await plane.until('let go', view => {
      const { metadata } = view.get(Pod, stray!.metadata)!;
      return !metadata.ownerReferences?.length && !metadata.finalizers?.length;
    });
    await plane.until('replaced', view => running(view, 'family').length === 2);
    await client.delete(Job, key('family'), { propagationPolicy: 'Background' });
  });

  await t.test('a deleted Job takes its pods with it, finalizers and all; an orphaned pod is let go', async () => {
    await client.delete(Job, key('ours'), { propagationPolicy: 'Background' });
    await plane.until('gone', view => podsOf(view, 'ours').length === 0);
    await client.delete(Job, key('pause'), { propagationPolicy: 'Orphan' });
    await plane.until('its pods are free', view => {
      const pods = podsOf(view, 'pause');
      return pods.length === 2 && pods.every(({ metadata }) => !metadata.finalizers?.length && !metadata.ownerReferences?.length);
    });
  });

  await t.test('killed again and again, each pod is counted once', async () => {
    const completions = 40;
    await client.create(Job, job('once', { completions, parallelism: 8, backoffLimit: 100, completionMode: 'NonIndexed' }));
    using _end = plane.always(view => {
      const [pod] = running(view, 'once');
      if (pod) void end(pod, 'Succeeded').catch(() => {});
    });
    for (let round = 0; round < 12 && !isJobFinished(plane.view.get(Job, key('once'))!); round++) {
      const counted = plane.view.get(Job, key('once'))?.status?.succeeded ?? 0;
      const isOver = (view: View) => isJobFinished(view.get(Job, key('once'))!);
      await plane.until('some are counted', view => (view.get(Job, key('once'))?.status?.succeeded ?? 0) > counted || isOver(view));
      await plane.stopControllers({ abruptly: true });
      await plane.startControllers();
    }
    await plane.until('complete', view => has(view, 'once', 'Complete') !== undefined);
    const { status } = plane.view.get(Job, key('once'))!;
    const succeeded = podsOf(plane.view, 'once').filter(pod => pod.status?.phase === 'Succeeded').length;
    assert.equal(status?.succeeded, succeeded);
    assert.ok(succeeded >= completions);
  });
});
