import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { parse } from 'yaml';
import { DirectNodeConnector } from '#apiserver/direct-node-connector.ts';
import { startTestCluster } from '#apiserver/test-cluster.ts';
import { ManualClock, silentLog } from '#base/index.ts';
import { HttpsTransport } from '#client/https-transport.ts';
import { createClient } from '#client/index.ts';
import { Namespace } from '#kinds/namespace.ts';
import { startKubeletServer } from '#node/index.ts';
import { CertificateKeeper, ClusterPki } from '#pki/index.ts';
import { readConfig } from './config.ts';
import { keepServerCertificates, writeAdminKubeconfig } from './server-certificates.ts';

const DAY_MS = 86_400_000;

/** What is served there now. */
function servedAt(port: number): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate()!);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

const endOf = (pem: string) => new X509Certificate(pem).validToDate.getTime();

test('certificates are renewed while server and agent go on', async () => {
  // Made long ago, so that what is renewed today is good today.
  const clock = new ManualClock(Date.now() - 300 * DAY_MS);
  await using cluster = await startTestCluster({ clock });
  const { pki, server, directory } = cluster;
  const config = await readConfig({ dataDir: directory }, {});
  await writeAdminKubeconfig(config, server, pki);
  const userOf = () => parse(readFileSync(`${directory}/kubeconfig`, 'utf8')).users[0].user['client-certificate-data'] as string;
  const issueNode = () => pki.node('box', ['127.0.0.1']);
  const node = await issueNode();
  await using kubelet = await startKubeletServer({
    address: '127.0.0.1',
    port: 0,
    tls: node.server,
    authority: pki.authority.certificate,
    pods: { pods: () => [], pod: () => undefined },
    engine: {} as never,
    log: silentLog,
  });
  await using transport = new HttpsTransport({
    server: cluster.url,
    ca: pki.authority.certificate,
    cert: node.client.certificate,
    key: node.client.key,
  });
  const client = createClient(transport);
  await using connector = new DirectNodeConnector({
    resolveNode: () => ({ address: '127.0.0.1', port: kubelet.port }),
    authority: pki.authority.certificate,
    client: pki.kubeletClient,
  });
  const healthz = async () => {
    const { status, body } = await connector.request('box', { method: 'GET', path: '/healthz', headers: {} });
    body.resume();
    return status;
  };
  const renewed = { server: Promise.withResolvers<void>(), agent: Promise.withResolvers<void>() };
  const log = {
    ...silentLog,
    info: () => renewed.server.resolve(),
    error: (_message: string, fields?: object) => assert.fail(JSON.stringify(fields)),
  };
  const reopen = () => ClusterPki.open({ directory: `${directory}/pki`, clock });
  await using _server = keepServerCertificates({ config, pki, reopen, server, connector, clock, log });
  await using _agent = new CertificateKeeper({
    clock,
    log,
    pairs: Object.values(node),
    async renew() {
      const fresh = await issueNode();
      transport.setClientCertificate({ cert: fresh.client.certificate, key: fresh.client.key });
      kubelet.setCertificate(fresh.server);
      renewed.agent.resolve();
      return Object.values(fresh);
    },
  });
  const port = server.listeners[0]!.port;
  const [before, user, ends] = [await servedAt(port), userOf(), endOf(node.server.certificate)];
  assert.ok(await client.get(Namespace, { name: 'default' }));
  assert.equal(await healthz(), 200);

  clock.advance(243 * DAY_MS);
  assert.equal((await servedAt(port)).serialNumber, before.serialNumber, 'two thirds are not over');
  clock.advance(DAY_MS);
  await Promise.all([renewed.server.promise, renewed.agent.promise]);
  const after = await servedAt(port);
  assert.ok(after.validToDate > before.validToDate);
  assert.ok((await servedAt(kubelet.port)).validToDate.getTime() > ends);
  assert.notEqual(userOf(), user);

  // Past the end of what there was first: only the renewed ones open anything.
  clock.advance(156 * DAY_MS);
  assert.ok(await client.get(Namespace, { name: 'default' }), 'the agent shows its new certificate');
  assert.equal(await healthz(), 200, 'and the server its new one');
});
