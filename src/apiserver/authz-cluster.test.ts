import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import * as http2 from 'node:http2';
import https from 'node:https';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import type { CertificatePair } from '#pki/ca.ts';
import { bootstrapCluster } from './bootstrap.ts';
import { startTestCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;

before(async () => {
  cluster = await startTestCluster();
  await bootstrapCluster({ client: cluster.client, serviceAddress: '10.43.0.1', endpoints: [] });
});

after(() => cluster?.[Symbol.asyncDispose]());

/** The answer's code, as the bearer of a certificate. */
async function codeFor(pair: CertificatePair, method: string, path: string, body?: object): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const credentials = { ca: cluster.pki.authority.certificate, cert: pair.certificate, key: pair.key };
  const request = https.request(cluster.url + path, {
    method,
    agent: false,
    headers: { 'content-type': 'application/json' },
    ...credentials,
  });
  request.on('response', response => {
    response.destroy();
    resolve(response.statusCode ?? 0);
  });
  request.on('error', reject);
  request.end(body && JSON.stringify(body));
  return await promise;
}

const shop = '/api/v1/namespaces/shop';
const create = async (path: string, body: object) => {
  const { status, text } = await cluster.call('POST', path, body);
  assert.equal(status, 201, text);
};

test('nobody in particular gets what is public, and no more', async () => {
  const call = async (path: string) => (await cluster.call('GET', path, undefined, { 'x-anonymous': '1' })).status;
  for (const path of ['/livez', '/readyz', '/healthz', '/version']) assert.equal(await call(path), 200, path);
  for (const path of ['/api', '/apis', '/openapi/v3', '/metrics', '/api/v1/pods', '/api/v1/namespaces/default/secrets/x', '/nonsense'])
    assert.equal(await call(path), 403, path);
  assert.equal((await cluster.call('GET', '/version', undefined, { authorization: 'Bearer nonsense' })).status, 401);
});

test('a node’s certificate opens what its pods need, and nothing else', async () => {
  const { client: box } = await cluster.pki.node('box', []);
  await create('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  await create(`${shop}/serviceaccounts`, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } });
  for (const name of ['mine', 'other']) await create(`${shop}/secrets`, { apiVersion: 'v1', kind: 'Secret', metadata: { name } });
  const volumes = [{ name: 'v', secret: { secretName: 'mine' } }];
  const spec = { nodeName: 'box', containers: [{ name: 'a', image: 'x' }], volumes };
  await create(`${shop}/pods`, { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x' }, spec });
  const cases: [string, number][] = [
    [`${shop}/secrets/mine`, 200],
    [`${shop}/secrets?fieldSelector=metadata.name%3Dmine`, 200],
    [`${shop}/secrets?watch=1&fieldSelector=metadata.name%3Dmine`, 200],
    [`${shop}/secrets/other`, 403],
    [`${shop}/secrets`, 403],
    ['/api/v1/pods?fieldSelector=spec.nodeName%3Dbox', 200],
    ['/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dbox', 200],
    ['/api/v1/pods?fieldSelector=spec.nodeName%3Dother', 403],
    ['/api/v1/pods', 403],
    [`${shop}/pods/x`, 200],
    ['/api/v1/services', 200],
    ['/apis/discovery.k8s.io/v1/endpointslices', 200],
  ];
  for (const [path, code] of cases) assert.equal(await codeFor(box, 'GET', path), code, path);
  const lease = (name: string) => ({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name }, spec: {} });
  const leases = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';
  assert.equal(await codeFor(box, 'POST', leases, lease('box')), 201);
  assert.equal(await codeFor(box, 'PUT', `${leases}/other`, lease('other')), 403);
  assert.equal(await codeFor(box, 'POST', `${shop}/pods`, { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'y' }, spec }), 403);
});

test('over HTTP/2 a connection’s certificate counts for all its requests', async () => {
  const jane = await cluster.pki.client('jane', ['dev']);
  const client = http2.connect(cluster.url, { ca: cluster.pki.authority.certificate, cert: jane.certificate, key: jane.key });
  try {
    for (let round = 0; round < 3; round++) {
      const stream = client.request({ ':path': '/api/v1/nodes' });
      const body = Buffer.concat(await stream.toArray()).toString();
      assert.match(body, /User \\"jane\\" cannot list resource \\"nodes\\"/);
    }
  } finally {
    client.close();
  }
});

test('rights given by kubectl count at once, and end when taken away', async () => {
  const joe = await cluster.pki.client('joe');
  const get = () => codeFor(joe, 'GET', '/api/v1/namespaces/default/configmaps');
  assert.equal(await get(), 403);
  await cluster.kubectl('create', 'rolebinding', 'joe', '--clusterrole=view', '--user=joe', '-n', 'default');
  assert.equal(await get(), 200);
  assert.equal(await codeFor(joe, 'GET', '/api/v1/namespaces/default/secrets'), 403);
  await cluster.kubectl('delete', 'rolebinding', 'joe', '-n', 'default');
  assert.equal(await get(), 403);
});

test('a foreign certificate is refused, whatever it says', async () => {
  const run = promisify(execFile);
  const { directory } = cluster;
  const key = `${directory}/foreign.key`;
  const certificate = `${directory}/foreign.crt`;
  const args = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/O=system:masters/CN=kubernetes-admin'];
  await run('openssl', ['req', '-x509', ...args, '-addext', 'extendedKeyUsage=clientAuth', '-keyout', key, '-out', certificate]);

  const foreign = { certificate: await readFile(certificate, 'utf8'), key: await readFile(key, 'utf8') };
  assert.equal(await codeFor(foreign, 'GET', '/api/v1/nodes'), 401);
});
