import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { TestCluster, until } from './cluster.ts';

const SLEEPER = `
      terminationGracePeriodSeconds: 1
      containers:
      - { name: main, image: "busybox:test", imagePullPolicy: IfNotPresent, command: [sh, -c, "trap 'exit 0' TERM; sleep 1000 & wait"] }`;

const job = (name: string, script: string, more = '') => `
apiVersion: batch/v1
kind: Job
metadata: { name: ${name} }
spec:
${more}
  template:
    spec:
      restartPolicy: Never
      containers:
      - { name: main, image: "busybox:test", imagePullPolicy: IfNotPresent, command: [sh, -c, ${JSON.stringify(script)}] }
`;

describe('workloads on a real node', () => {
  let cluster: TestCluster;

  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
  });
  after(() => cluster[Symbol.asyncDispose]());

  test('a StatefulSet of 2 comes in order, is updated from the top, and shrinks from the top', async () => {
    await cluster.apply(`
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db }
spec:
  replicas: 2
  serviceName: db
  selector: { matchLabels: { app: db } }
  template:
    metadata: { labels: { app: db } }
    spec:${SLEEPER}
`);
    await cluster.kubectl('rollout', 'status', 'sts/db', '--timeout=60s');
    assert.equal(await cluster.jsonPath('pods -l app=db', '{.items[*].metadata.name}'), 'db-0 db-1');
    const [first = '', second = ''] = (
      await cluster.jsonPath('pods -l app=db', '{.items[*].status.conditions[?(@.type=="Ready")].lastTransitionTime}')
    ).split(' ');
    assert.ok(first <= second, `${first} before ${second}`);
    assert.equal((await cluster.kubectl('exec', 'db-1', '--', 'hostname')).trim(), 'db-1');
    await cluster.kubectl('set', 'env', 'sts/db', 'A=b');
    await cluster.kubectl('rollout', 'status', 'sts/db', '--timeout=60s');
    assert.equal((await cluster.kubectl('exec', 'db-0', '--', 'sh', '-c', 'echo $A')).trim(), 'b');
    await cluster.kubectl('rollout', 'undo', 'sts/db');
    await cluster.kubectl('rollout', 'status', 'sts/db', '--timeout=60s');
    assert.equal((await cluster.kubectl('exec', 'db-0', '--', 'sh', '-c', 'echo $A')).trim(), '');
    await cluster.kubectl('scale', 'sts/db', '--replicas=1');
    await until('db-1 to be gone', async () => (await cluster.jsonPath('pods -l app=db', '{.items[*].metadata.name}')) === 'db-0');
  });

  test('a DaemonSet has its pod on the node, and is restarted', async () => {
    await cluster.apply(`
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: agent }
spec:
  selector: { matchLabels: { app: agent } }
  template:
    metadata: { labels: { app: agent } }
    spec:${SLEEPER}
`);
    await cluster.kubectl('rollout', 'status', 'ds/agent', '--timeout=60s');
    const before = await cluster.jsonPath('pods -l app=agent', '{.items[*].metadata.name}');
    await cluster.kubectl('rollout', 'restart', 'ds/agent');
    await cluster.kubectl('rollout', 'status', 'ds/agent', '--timeout=60s');
    await until('another pod alone', async () => {
      const now = await cluster.jsonPath('pods -l app=agent', '{.items[*].metadata.name}');
      return now !== before && now.split(' ').length === 1;
    });
  });

  test('an Indexed Job runs to its end; each pod knew its index', async () => {
    await cluster.apply(job('ix', 'echo index $JOB_COMPLETION_INDEX', '  completions: 3\n  parallelism: 2\n  completionMode: Indexed'));
    await cluster.kubectl('wait', 'job/ix', '--for=condition=complete', '--timeout=60s');
    assert.equal(await cluster.jsonPath('job ix', '{.status.completedIndexes} {.status.succeeded}'), '0-2 3');
    const logs = await cluster.kubectl('logs', '-l', 'batch.kubernetes.io/job-name=ix');
    assert.deepEqual(logs.trim().split('\n').sort(), ['index 0', 'index 1', 'index 2']);
    assert.equal(await cluster.jsonPath('pods -l batch.kubernetes.io/job-name=ix', '{.items[*].metadata.finalizers[*]}'), '');
  });

  test('an exit code that the policy names fails the Job at once', async () => {
    const policy = `  backoffLimit: 3
  podFailurePolicy:
    rules: [{ action: FailJob, onExitCodes: { operator: In, values: [42] } }]`;
    await cluster.apply(job('wrong', 'exit 42', policy));
    await cluster.kubectl('wait', 'job/wrong', '--for=condition=failed', '--timeout=60s');
    assert.equal(
      await cluster.jsonPath('job wrong', '{.status.conditions[?(@.type=="Failed")].reason} {.status.failed}'),
      'PodFailurePolicy 1',
    );
  });

  test('a CronJob is started by hand', async () => {
    await cluster.kubectl('create', 'cronjob', 'nightly', '--image=busybox:test', '--schedule=0 3 * * *', '--', 'echo', 'by hand');
    await cluster.kubectl('create', 'job', 'tonight', '--from=cronjob/nightly');
    await cluster.kubectl('wait', 'job/tonight', '--for=condition=complete', '--timeout=60s');
    assert.equal((await cluster.kubectl('logs', 'job/tonight')).trim(), 'by hand');
    await cluster.kubectl('delete', 'job', 'tonight');
    assert.equal(await cluster.jsonPath('pods -l batch.kubernetes.io/job-name=tonight', '{.items[*].metadata.name}'), '');
  });
});
