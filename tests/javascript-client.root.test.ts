import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import {
  type ApiException,
  AppsV1Api,
  CoordinationV1Api,
  CoreV1Api,
  Exec,
  KubeConfig,
  KubernetesObjectApi,
  Log,
  PatchStrategy,
  PortForward,
  V1MicroTime,
  type V1Status,
} from '@kubernetes/client-node';
import { TestCluster, until } from './cluster.ts';

const namespace = 'default';
const isCode = (code: number) => (error: ApiException<unknown>) => error.code === code;

describe("the Kubernetes JavaScript client's streams, applies and leases", () => {
  let cluster: TestCluster;
  const config = new KubeConfig();

  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
    config.loadFromFile(cluster.kubeconfig);
    const command = ['sh', '-c', 'echo started; mkdir /www; echo hello >/www/index.html; exec httpd -f -p 8080 -h /www'];
    const readinessProbe = { httpGet: { port: 8080, path: '/' }, periodSeconds: 1 };
    const containers = [{ name: 'main', image: 'busybox:test', imagePullPolicy: 'IfNotPresent', command, readinessProbe }];
    const body = { metadata: { name: 'web' }, spec: { terminationGracePeriodSeconds: 0, containers } };
    await config.makeApiClient(CoreV1Api).createNamespacedPod({ namespace, body });
    await cluster.kubectl('wait', '--for=condition=Ready', 'pod/web', '--timeout=60s');
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  async function exec(command: string[], input?: string) {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const status = Promise.withResolvers<V1Status>();
    const stdin = input === undefined ? null : Readable.from([input]);
    await new Exec(config).exec(namespace, 'web', 'main', command, stdout, stderr, stdin, false, status.resolve);
    const ended = await status.promise;
    stdout.end();
    stderr.end();
    return { status: ended, stdout: await text(stdout), stderr: await text(stderr) };
  }

  test('exec: both outputs, input, how it ended', async () => {
    const fine = await exec(['sh', '-c', 'echo out; echo err >&2']);
    assert.deepEqual([fine.status.status, fine.stdout, fine.stderr], ['Success', 'out\n', 'err\n']);
    const failed = await exec(['sh', '-c', 'head -c 5; exit 3'], 'input');
    assert.deepEqual([failed.status.status, failed.stdout], ['Failure', 'input']);
    assert.deepEqual(failed.status.details?.causes, [{ reason: 'ExitCode', message: '3' }]);
  });

  test('logs and port-forward', async () => {
    const lines = new PassThrough();
    await new Log(config).log(namespace, 'web', 'main', lines, { follow: false, tailLines: 1 });
    assert.equal(await text(lines), 'started\n');
    let answer = '';
    const output = new PassThrough().setEncoding('utf8').on('data', chunk => {
      answer += chunk;
    });
    const input = new PassThrough();
    const forward = new PortForward(config);
    const socket = await forward.portForward(namespace, 'web', [8080], output, null, input);
    input.write('GET / HTTP/1.0\r\n\r\n');
    await until('the page', () => answer.includes('hello\n'), 10_000).catch(() => assert.fail(answer));
    if (typeof socket !== 'function') socket.close();
  });

  test('server-side apply of any object: conflicts, force, fields that go', async () => {
    const objects = KubernetesObjectApi.makeApiClient(config);
    const apply = (data: Record<string, string>, manager: string, force = false) => {
      const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied', namespace }, data };
      return objects.patch(object, undefined, undefined, manager, force, PatchStrategy.ServerSideApply);
    };
    const read = async () => (await config.makeApiClient(CoreV1Api).readNamespacedConfigMap({ namespace, name: 'applied' })).data;
    await apply({ a: '1', b: '1' }, 'one');
    await assert.rejects(apply({ a: '2' }, 'two'), isCode(409));
    await apply({ a: '2' }, 'two', true);
    await apply({ b: '1' }, 'one');
    assert.deepEqual(await read(), { a: '2', b: '1' });
    await apply({}, 'two');
    assert.deepEqual(await read(), { b: '1' });
  });

  test('a lease has one holder however many ask at once', async () => {
    const leases = config.makeApiClient(CoordinationV1Api);
    const spec = (holderIdentity: string) => ({ holderIdentity, leaseDurationSeconds: 15, renewTime: new V1MicroTime() });
    const names = ['a', 'b', 'c', 'd', 'e'];
    const created = await Promise.allSettled(
      names.map(name => leases.createNamespacedLease({ namespace, body: { metadata: { name: 'leader' }, spec: spec(name) } })),
    );
    assert.equal(created.filter(({ status }) => status === 'fulfilled').length, 1);
    const held = await leases.readNamespacedLease({ namespace, name: 'leader' });
    assert.match(String(JSON.parse(JSON.stringify(held.spec)).renewTime), /\.\d{3,6}Z$/);
    const taken = await Promise.allSettled(
      names.map(name => leases.replaceNamespacedLease({ namespace, name: 'leader', body: { ...held, spec: spec(name) } })),
    );
    assert.equal(taken.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const each of taken) if (each.status === 'rejected') assert.equal((each.reason as ApiException<unknown>).code, 409);
  });

  test('scale by its subresource, lists by pages', async () => {
    const apps = config.makeApiClient(AppsV1Api);
    const labels = { app: 'none' };
    const template = { metadata: { labels }, spec: { containers: [{ name: 'main', image: 'busybox:test' }] } };
    await apps.createNamespacedDeployment({
      namespace,
      body: { metadata: { name: 'none' }, spec: { replicas: 0, selector: { matchLabels: labels }, template } },
    });
    const scale = await apps.readNamespacedDeploymentScale({ namespace, name: 'none' });
    await apps.replaceNamespacedDeploymentScale({
      namespace,
      name: 'none',
      body: { metadata: { name: 'none', namespace }, spec: { ...scale.spec, replicas: 0 } },
    });
    const core = config.makeApiClient(CoreV1Api);
    for (let index = 0; index < 5; index++) await core.createNamespacedSecret({ namespace, body: { metadata: { name: `page-${index}` } } });
    const found: (string | undefined)[] = [];
    let _continue: string | undefined;
    do {
      const page = await core.listNamespacedSecret({ namespace, limit: 2, ...(_continue && { _continue }) });
      found.push(...page.items.map(({ metadata }) => metadata?.name));
      _continue = page.metadata?._continue;
    } while (_continue);
    assert.deepEqual(found, ['page-0', 'page-1', 'page-2', 'page-3', 'page-4']);
  });
});
