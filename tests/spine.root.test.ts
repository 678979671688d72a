import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Pod } from '#kinds/pod.ts';
import { TestCluster, until } from './cluster.ts';

const pod = (name: string, script: string, more = '') => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: ${name} } }
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox:test
    imagePullPolicy: IfNotPresent
    command: [sh, -c, ${JSON.stringify(script)}]
${more}`;

const COUNTER = 'i=0; while true; do echo line $i; i=$((i+1)); sleep 0.05; done';

describe('from kubectl apply to a running process', () => {
  let cluster: TestCluster;

  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
  });
  after(() => cluster[Symbol.asyncDispose]());

  const phase = async (name: string) => (await cluster.tryKubectl('get', 'pod', name, '-o', 'jsonpath={.status.phase}')).stdout;
  const running = (name: string) => until(`${name} to run`, async () => (await phase(name)) === 'Running');
  const containerId = async (name: string) =>
    (await cluster.kubectl('get', 'pod', name, '-o', 'jsonpath={.status.containerStatuses[0].containerID}')).replace('umiak://', '');

  test('a pod runs, is logged, can be entered, and ends', async () => {
    await cluster.apply(pod('hello', 'echo hello from $(hostname); exec sleep 1000'));
    await running('hello');
    assert.equal(await until('a log line', async () => (await cluster.kubectl('logs', 'hello')) || undefined), 'hello from hello\n');
    assert.equal(await cluster.kubectl('exec', 'hello', '--', 'sh', '-c', 'echo in; cat /etc/hostname'), 'in\nhello\n');
    const failed = await cluster.tryKubectl('exec', 'hello', '--', 'sh', '-c', 'exit 7');
    assert.equal(failed.code, 7);
    await cluster.kubectl('delete', 'pod', 'hello');
    await until('the pod to be gone', async () => (await cluster.tryKubectl('get', 'pod', 'hello')).code !== 0);
  });

  test('killed agent: the container goes on, its log has no gap, its exit code is right', async () => {
    await cluster.apply(pod('steady', COUNTER));
    await cluster.apply(pod('brief', 'sleep 2; exit 3', '  restartPolicy: Never\n'));
    await running('steady');
    await running('brief');
    const id = await containerId('steady');
    const agent = cluster.pid('agent');
    process.kill(agent, 'SIGKILL');
    await until('another agent', () => {
      const pid = cluster.pid('agent');
      return pid !== agent && pid > 0;
    });
    await until('the brief pod to have failed', async () => (await phase('brief')) === 'Failed');
    const exit = await cluster.kubectl('get', 'pod', 'brief', '-o', 'jsonpath={.status.containerStatuses[0].state.terminated.exitCode}');
    assert.equal(exit, '3');
    assert.equal(await containerId('steady'), id, 'the same container');
    assert.equal(await cluster.kubectl('exec', 'steady', '--', 'echo', 'still'), 'still\n');
    const lines = (await cluster.kubectl('logs', 'steady')).trim().split('\n');
    for (const [index, line] of lines.entries()) assert.equal(line, `line ${index}`);
  });

  test('killed server: what was acknowledged is there, and the cluster goes on', async () => {
    await cluster.kubectl('create', 'configmap', 'kept', '--from-literal=a=b');
    const server = cluster.pid('server');
    process.kill(server, 'SIGKILL');
    await until('another server', () => {
      const pid = cluster.pid('server');
      return pid !== server && pid > 0;
    });
    const data = await until(
      'the API',
      async () => (await cluster.tryKubectl('get', 'configmap', 'kept', '-o', 'jsonpath={.data.a}')).stdout || undefined,
    );
    assert.equal(data, 'b');
    await cluster.apply(pod('later', 'exec sleep 1000'));
    await running('later');
  });

  test('down and up again: containers were not touched', async () => {
    const id = await containerId('steady');
    await cluster.must('down');
    await cluster.must('up');
    assert.equal(await containerId('steady'), id);
    assert.equal(await phase('steady'), 'Running');
  });

  test('after a reboot pods come back', async () => {
    const before = await containerId('steady');
    await cluster.must('down', '--containers');
    rmSync(cluster.runDir, { recursive: true, force: true });
    cluster.env.UMIAK_BOOT_ID = '00000000-0000-4000-8000-000000000001';
    await cluster.must('up');
    const client = await cluster.client();
    const again = await until('the pod to run again', async () => {
      const found = await client.get(Pod, { namespace: 'default', name: 'steady' });
      const status = found?.status?.containerStatuses?.[0];
      return status?.state?.running && status.containerID !== `umiak://${before}` ? status : undefined;
    });
    assert.ok(again.restartCount >= 1);
    assert.equal(await phase('brief'), 'Failed', 'what had ended has ended');
  });
});
