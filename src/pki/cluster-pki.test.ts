import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parse } from 'yaml';
import { ManualClock } from '#base/clock.ts';
import { CertificateAuthority } from './ca.ts';
import { subjectOf } from './certificate-request.ts';
import { ClusterPki, isApiServerClient } from './cluster-pki.ts';
import { toKubeconfig, writeKubeconfig } from './kubeconfig.ts';

const root = mkdtempSync(join(tmpdir(), `umiak-pki-${process.pid}-`));
after(() => rmSync(root, { recursive: true, force: true }));
const DAY_MS = 86_400_000;

test('makes a cluster’s keys once, all of them secret', async () => {
  const directory = join(root, 'once');
  const options = { directory, clock: new ManualClock(Date.now()), hosts: ['10.43.0.1', 'fd00::1', 'Box.example'] };
  const first = await ClusterPki.open(options);
  const second = await ClusterPki.open(options);
  assert.equal(second.authority.certificate, first.authority.certificate);
  assert.deepEqual([second.apiServer, second.kubeletClient, second.admin], [first.apiServer, first.kubeletClient, first.admin]);
  assert.deepEqual(second.tokens.jwks(), first.tokens.jwks());
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  for (const file of readdirSync(directory)) assert.equal(statSync(join(directory, file)).mode & 0o777, 0o600, file);
  assert.deepEqual(subjectOf(new X509Certificate(first.admin.certificate)), { CN: 'kubernetes-admin', O: ['system:masters'] });
});

test('openssl finds the chains good for their purposes and hosts', async () => {
  const directory = join(root, 'openssl');
  const pki = await ClusterPki.open({ directory, clock: new ManualClock(Date.now()), hosts: ['10.43.0.1', 'fd00::1'] });
  await pki.node('box', ['192.168.1.5']);
  const verify = (file: string, ...more: string[]) =>
    execFileSync('openssl', ['verify', '-x509_strict', '-CAfile', join(directory, 'ca.crt'), ...more, join(directory, file)], {
      stdio: 'pipe',
    });
  for (const address of ['127.0.0.1', '::1', '10.43.0.1', 'fd00::1'])
    verify('apiserver.crt', '-purpose', 'sslserver', '-verify_ip', address);
  for (const host of ['localhost', 'kubernetes', 'kubernetes.default.svc.cluster.local'])
    verify('apiserver.crt', '-purpose', 'sslserver', '-verify_hostname', host);
  verify('admin.crt', '-purpose', 'sslclient');
  verify('node-box-client.crt', '-purpose', 'sslclient');
  verify('node-box-server.crt', '-purpose', 'sslserver', '-verify_ip', '192.168.1.5');
  assert.throws(() => verify('admin.crt', '-purpose', 'sslserver'));
  assert.throws(() => verify('apiserver.crt', '-purpose', 'sslserver', '-verify_hostname', 'elsewhere'));
});

test('only the API server’s client certificate opens a node', async () => {
  const pki = await ClusterPki.open({ directory: join(root, 'once'), clock: new ManualClock(Date.now()) });
  const is = ({ certificate }: { certificate: string }) => isApiServerClient(new X509Certificate(certificate));
  assert.equal(is(pki.kubeletClient), true);
  const { client, server } = await pki.node('box', []);
  const impostor = await pki.client('kube-apiserver-kubelet-client');
  for (const other of [pki.admin, pki.apiServer, client, server, impostor]) assert.equal(is(other), false);
  assert.equal(isApiServerClient(undefined), false);
});

test('of several processes that make the authority at once, all get the same one', async () => {
  const directory = join(root, 'race');
  const clock = new ManualClock(Date.now());
  const authorities = await Promise.all(Array.from({ length: 8 }, () => CertificateAuthority.open({ directory, clock })));
  assert.equal(new Set(authorities.map(authority => authority.certificate)).size, 1);
  assert.deepEqual(readdirSync(directory).sort(), ['ca.crt', 'ca.key']);
});

test('issues anew what no longer fits, and only that', async () => {
  const directory = join(root, 'renew');
  const clock = new ManualClock(Date.now());
  const authority = await CertificateAuthority.open({ directory, clock });
  const request = { commonName: 'kube-apiserver', hosts: ['::1', 'LOCALHOST', '10.0.0.1'], usages: ['serverAuth' as const] };
  const first = await authority.ensure('a', request);
  assert.deepEqual(
    await authority.ensure('a', { ...request, hosts: ['10.0.0.1', 'localhost', '0:0::1'] }),
    first,
    'same hosts, otherwise written',
  );
  clock.advance(200 * DAY_MS);
  assert.deepEqual(await authority.ensure('a', request), first, 'more than a third of its life left');
  const wider = await authority.ensure('a', { ...request, hosts: [...request.hosts, '10.0.0.2'] });
  assert.notDeepEqual(wider, first);
  clock.advance(300 * DAY_MS);
  const later = await authority.ensure('a', { ...request, hosts: [...request.hosts, '10.0.0.2'] });
  assert.notDeepEqual(later, wider, 'less than a third left');
  writeFileSync(join(directory, 'a.crt'), later.certificate.slice(0, 80));
  const mended = await authority.ensure('a', request);
  writeFileSync(join(directory, 'a.key'), first.key);
  const again = await authority.ensure('a', request);
  assert.notEqual(again.key, mended.key);
  const other = await CertificateAuthority.open({ directory: join(root, 'other'), clock });
  const foreign = await other.issue(request);
  writeFileSync(join(directory, 'a.crt'), foreign.certificate);
  writeFileSync(join(directory, 'a.key'), foreign.key);
  assert.notEqual((await authority.ensure('a', request)).certificate, foreign.certificate);
});

test('refuses to go on with an expired authority or one whose key is another’s', async () => {
  const directory = join(root, 'broken');
  const clock = new ManualClock(Date.now());
  await CertificateAuthority.open({ directory, clock });
  clock.advance(3660 * DAY_MS);
  await assert.rejects(CertificateAuthority.open({ directory, clock }), /expired/);
  const stranger = await CertificateAuthority.open({ directory: join(root, 'stranger'), clock });
  writeFileSync(join(directory, 'ca.crt'), stranger.certificate);
  await assert.rejects(CertificateAuthority.open({ directory, clock }), /do not belong together/);
});

test('a kubeconfig is YAML that holds everything, and is secret even where a looser one was', async () => {
  const user = { name: 'kubernetes-admin', certificate: 'C', key: 'K' };
  const options = { server: 'https://127.0.0.1:6443', authority: 'A', user, namespace: 'na: "me"' };
  assert.deepEqual(parse(toKubeconfig(options)), {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'umiak', cluster: { server: 'https://127.0.0.1:6443', 'certificate-authority-data': 'QQ==' } }],
    users: [{ name: 'kubernetes-admin', user: { 'client-certificate-data': 'Qw==', 'client-key-data': 'Sw==' } }],
    contexts: [{ name: 'kubernetes-admin@umiak', context: { cluster: 'umiak', user: 'kubernetes-admin', namespace: 'na: "me"' } }],
    'current-context': 'kubernetes-admin@umiak',
    preferences: {},
  });
  const path = join(root, 'kubeconfig');
  writeFileSync(path, 'old', { mode: 0o644 });
  chmodSync(path, 0o644);
  await writeKubeconfig(path, options);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const { ino } = statSync(path);
  await writeKubeconfig(path, options);
  assert.equal(statSync(path).ino, ino, 'unchanged, so not written');
});
