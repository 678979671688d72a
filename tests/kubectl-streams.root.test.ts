import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { TestCluster, until } from './cluster.ts';
import { inTerminal } from './terminal.ts';

const web = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: busybox:test
        imagePullPolicy: IfNotPresent
        command: [sh, -c, "mkdir /www; echo hello >/www/index.html; exec httpd -f -p 8080 -h /www"]
        readinessProbe: { httpGet: { port: 8080, path: / }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
`;

describe('kubectl looks into what runs', () => {
  let cluster: TestCluster;
  let pod: string;
  const node = () => cluster.env.UMIAK_NODE_NAME ?? '';
  const kubectl = (...args: string[]) => cluster.kubectl(...args);
  const local = ['--image=busybox:test', '--image-pull-policy=IfNotPresent'];

  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
    await cluster.apply(web);
    await kubectl('rollout', 'status', 'deploy/web', '--timeout=60s');
    pod = (await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[0].metadata.name}')).trim();
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  const inTerm = (line: string, typed = '') => inTerminal(line, { KUBECONFIG: cluster.kubeconfig }, typed);

  /** Runs kubectl until `use` is done with what it says. */
  async function running<T>(args: string[], pattern: RegExp, use: (found: RegExpExecArray, child: ChildProcess) => Promise<T>): Promise<T> {
    const env = { ...process.env, KUBECONFIG: cluster.kubeconfig };
    const child = spawn(join(import.meta.dirname, '../.bin/kubectl'), args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', chunk => {
        said += chunk;
      });
    }
    try {
      const found = await until(`${pattern}`, () => pattern.exec(said) ?? undefined, 20_000).catch(() => assert.fail(said));
      return await use(found, child);
    } finally {
      child.kill('SIGKILL');
    }
  }

  test('debug: an ephemeral container in a pod, its processes seen', async () => {
    const { output, code } = await inTerm(
      `kubectl debug ${pod} -it --quiet ${local[0]} ${local[1]} --target=main -c looks -- sh -c 'ps | grep [h]ttpd; wget -qO- http://127.0.0.1:8080'`,
    );
    assert.equal(code, 0, output);
    const logs = await kubectl('logs', pod, '-c', 'looks');
    assert.match(logs, /httpd -f -p 8080[\s\S]*hello/);
    assert.match(await kubectl('describe', 'pod', pod), /Ephemeral Containers:\n +looks:/);
  });

  test('debug: a copy of a pod with another command', async () => {
    await kubectl('debug', pod, '--copy-to=copy', '--container=main', '--share-processes', '--', 'sleep', '1000');
    await kubectl('wait', '--for=jsonpath={.status.phase}=Running', 'pod/copy', '--timeout=30s');
    assert.match(await kubectl('exec', 'copy', '--', 'ps'), /sleep 1000/);
    assert.equal(await kubectl('get', 'pod', 'copy', '-o', 'jsonpath={.metadata.labels.app}'), '', 'it takes no part in the Service');
    await kubectl('delete', 'pod', 'copy', '--grace-period=0', '--force');
  });

  test('debug: the node, with its file system and processes', async () => {
    const said = await kubectl(
      'debug',
      `node/${node()}`,
      ...local,
      '--profile=sysadmin',
      '--',
      'sh',
      '-c',
      'chroot /host test -d /proc/1 && ls /host; hostname',
    );
    const name = /Creating debugging pod (\S+) /.exec(said)?.[1] ?? assert.fail(said);
    await kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', `pod/${name}`, '--timeout=30s');
    assert.match(await kubectl('logs', name), /^etc$[\s\S]*^usr$/m);
    await kubectl('delete', 'pod', name);
  });

  test('run --rm -it, attach', async () => {
    const ran = await inTerm(
      `kubectl run typed --rm -it --quiet ${local.join(' ')} --restart=Never -- sh -c 'read line; echo "heard $line"; tty'`,
      'over\r',
    );
    assert.match(ran.output, /heard over\r\n\/dev\/pts\/\d/);
    assert.match((await cluster.tryKubectl('get', 'pod', 'typed')).stderr, /NotFound/);
    await kubectl('run', 'listens', '-i', '--attach=false', ...local, '--', 'sh', '-c', 'while read line; do echo heard $line; done');
    await kubectl('wait', '--for=condition=Ready', 'pod/listens', '--timeout=30s');
    const attached = await cluster.tryKubectlWith('one\n', 'attach', '-i', '--pod-running-timeout=10s', 'listens');
    assert.match(attached.stdout, /heard one/);
    await kubectl('delete', 'pod', 'listens', '--grace-period=0', '--force');
  });

  for (const target of ['service/web', 'deployment/web'])
    test(`port-forward to ${target}`, () =>
      running(['port-forward', target, target.startsWith('s') ? ':80' : ':8080'], /127\.0\.0\.1:(\d+) -> 8080\n/, async ([, port]) => {
        assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'hello\n');
      }));

  test('port-forward goes by SPDY inside a WebSocket, as newer kubectl does first', () =>
    running(['port-forward', '-v=4', 'deployment/web', ':8080'], /([\s\S]*)127\.0\.0\.1:\d+ -> 8080\n/, async ([, said]) => {
      assert.match(said ?? '', /negotiated protocol: portforward\.k8s\.io/);
      assert.doesNotMatch(said ?? '', /fallback/);
    }));

  test('proxy: the API, a Service, a watch; what is not allowed is refused', () =>
    running(['proxy', '--port=0', '--reject-paths=^/api/v1/.*/secrets'], /127\.0\.0\.1:(\d+)\n/, async ([, port]) => {
      const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`);
      assert.equal(((await (await get('/api/v1/namespaces/default')).json()) as { kind: string }).kind, 'Namespace');
      assert.equal(await (await get('/api/v1/namespaces/default/services/http:web:http/proxy/')).text(), 'hello\n');
      assert.equal((await get('/api/v1/namespaces/default/secrets')).status, 403);
      const watching = await get('/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=1');
      assert.match(await watching.text(), /"type":"ADDED"/);
    }));

  test('logs by label and of a deployment, with prefixes, since', async () => {
    await kubectl('run', 'talks', ...local, '--labels=app=talks', '--restart=Never', '--', 'sh', '-c', 'echo one; echo two');
    await kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/talks', '--timeout=30s');
    assert.equal(await kubectl('logs', '-l', 'app=talks', '--prefix', '--tail=1'), '[pod/talks/talks] two\n');
    assert.match(await kubectl('logs', 'talks', '--timestamps', '--since=1h', '--limit-bytes=34'), /^\d{4}-\S+Z one\n?$/);
    assert.equal(await kubectl('logs', 'deploy/web', '--all-containers', '--tail=0'), '');
  });

  test('top: nodes, pods, containers, sorted', async () => {
    await until('first figures', async () => (await cluster.tryKubectl('top', 'pod', pod)).code === 0);
    assert.match(await kubectl('top', 'nodes'), /CPU\(cores\) +CPU\(%\) +MEMORY\(bytes\) +MEMORY\(%\) *\n\S+ +\d+m/);
    assert.match(await kubectl('top', 'pods', '--sort-by=memory', '-A'), new RegExp(`default +${pod} +\\d+m +\\d+Mi`));
    assert.match(await kubectl('top', 'pod', pod, '--containers'), new RegExp(`${pod} +main +\\d+m`));
  });
});
