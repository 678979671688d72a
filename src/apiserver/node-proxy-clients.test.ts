import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Exec, KubeConfig, Log, type V1Status } from '@kubernetes/client-node';
import { acceptChannels, toExitStatus } from '#wire/websocket-channels.ts';
import { DirectNodeConnector } from './direct-node-connector.ts';
import type { NodeConnector } from './node-connector.ts';
import { startTestCluster, type TestCluster } from './test-cluster.ts';

const KUBECTL = fileURLToPath(new URL('../../.bin/kubectl', import.meta.url));
let cluster: TestCluster;
let node: ReturnType<typeof createServer>;
let connector: DirectNodeConnector;

before(async () => {
  const nodeConnector: NodeConnector = {
    request: (...asked) => connector.request(...asked),
    upgrade: (...asked) => connector.upgrade(...asked),
    [Symbol.asyncDispose]: () => connector[Symbol.asyncDispose](),
  };
  cluster = await startTestCluster({ nodeConnector });
  const { server: pair } = await cluster.pki.node('box', []);
  node = createServer({ cert: pair.certificate, key: pair.key, ca: cluster.pki.authority.certificate, requestCert: true }, serveLogs);
  node.on('upgrade', serveSession);
  await once(node.listen(0, '127.0.0.1'), 'listening');
  connector = new DirectNodeConnector({
    authority: cluster.pki.authority.certificate,
    client: cluster.pki.kubeletClient,
    resolveNode: () => ({ address: '127.0.0.1', port: (node.address() as AddressInfo).port }),
  });
  const create = async (path: string, body: object) => assert.equal((await cluster.call('POST', path, body)).status, 201);
  await create('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  await create('/api/v1/namespaces/shop/serviceaccounts', { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } });
  const containers = [{ name: 'a', image: 'x' }];
  await create('/api/v1/namespaces/shop/pods', {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'x' },
    spec: { nodeName: 'box', containers },
  });
  const status = {
    phase: 'Running',
    containerStatuses: [{ name: 'a', ready: true, restartCount: 0, image: 'x', imageID: '', state: { running: {} } }],
  };
  const patched = await cluster.call(
    'PATCH',
    '/api/v1/namespaces/shop/pods/x/status',
    { status },
    { 'content-type': 'application/merge-patch+json' },
  );
  assert.equal(patched.status, 200, patched.text);
});

after(async () => {
  await connector?.[Symbol.asyncDispose]();
  node?.closeAllConnections();
  node?.close();
  await cluster?.[Symbol.asyncDispose]();
});

/** A node whose containers know three commands. */
async function serveSession(request: IncomingMessage, socket: Parameters<typeof acceptChannels>[1], head: Buffer): Promise<void> {
  const { stdin, stdout, stderr, resize, sendStatus } = await acceptChannels(request, socket, head);
  const [command = 'cat', ...words] = new URL(request.url ?? '/', 'https://x').searchParams.getAll('command');
  if (command === 'cat') await pipeline(stdin, stdout, { end: false });
  if (command === 'echo') stdout.write(`${words.join(' ')}\n`);
  if (command === 'complain') stderr.write('no\n');
  if (command === 'size')
    for await (const { width, height } of resize) {
      stdout.write(`${width}x${height}\r\n`);
      break;
    }
  await sendStatus(toExitStatus(command === 'complain' ? 42 : 0));
}

function serveLogs(_request: IncomingMessage, response: ServerResponse): void {
  response.write('first\n');
  response.end('last\n');
}

async function kubectl(args: string[], input: string | Buffer = ''): Promise<{ code: number; out: string; err: string }> {
  const child = spawn(KUBECTL, ['--kubeconfig', cluster.kubeconfig, '--cache-dir', `${cluster.directory}/cache`, '-n', 'shop', ...args]);
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { code: code as number, out, err };
}

test('kubectl exec: output, errors, exit codes', async () => {
  assert.deepEqual(await kubectl(['exec', 'x', '--', 'echo', 'hello', 'there']), { code: 0, out: 'hello there\n', err: '' });
  const failed = await kubectl(['exec', 'x', '--', 'complain']);
  assert.equal(failed.code, 42, failed.err);
  assert.match(failed.err, /^no\n/);
});

test('kubectl exec -i: input to its end, ten megabytes', async () => {
  const input = 'abcdefghij\n'.repeat(1 << 20);
  const { code, out, err } = await kubectl(['exec', '-i', 'x', '--', 'cat'], input);
  assert.equal(err, '');
  assert.equal(code, 0);
  assert.equal(out, input);
});

test('kubectl attach -i', async () => {
  assert.equal((await kubectl(['attach', '-i', 'x'], 'hello')).out, 'hello');
});

test('kubectl exec -it: the terminal’s size gets through', async () => {
  const command = `stty cols 101 rows 33; ${KUBECTL} --kubeconfig ${cluster.kubeconfig} -n shop exec -it x -- size`;
  const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
  assert.match(await text(child.stdout), /101x33/);
});

test('kubectl logs, and what it says of a pod that is not there', async () => {
  assert.deepEqual(await kubectl(['logs', 'x', '--tail=2']), { code: 0, out: 'first\nlast\n', err: '' });
  assert.match((await kubectl(['logs', 'gone'])).err, /pods "gone" not found/);
});

test('the JavaScript client’s exec and log', async () => {
  const config = new KubeConfig();
  config.loadFromFile(cluster.kubeconfig);
  const run = async (command: string, stdin: Readable | null) => {
    const [out, err] = [new PassThrough(), new PassThrough()];
    const { promise, resolve } = Promise.withResolvers<V1Status>();
    await new Exec(config).exec('shop', 'x', 'a', [command], out, err, stdin, false, resolve);
    const status = await promise;
    return { status, out: String(out.read() ?? ''), err: String(err.read() ?? '') };
  };
  const failed = await run('complain', null);
  assert.equal(failed.status.details?.causes?.[0]?.message, '42');
  assert.equal(failed.err, 'no\n');
  const echoed = await run('cat', Readable.from(['hello']));
  assert.equal(echoed.status.status, 'Success');
  assert.equal(echoed.out, 'hello');

  const log = new PassThrough();
  await new Log(config).log('shop', 'x', 'a', log, { follow: true });
  assert.equal(await text(log), 'first\nlast\n');
});

test('kubectl says what the server refuses', async () => {
  const { code, err } = await kubectl(['exec', 'x', '-c', 'b', '--', 'echo']);
  assert.equal(code, 1);
  assert.match(err, /container b/);
});
