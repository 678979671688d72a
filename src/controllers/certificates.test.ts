import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { at, openWatch, startTestCluster, type TestCluster } from '#apiserver/test-cluster.ts';
import { silentLog, systemClock } from '#base/index.ts';
import { Informers, runControllers } from '#client/index.ts';
import type { CertificateSigningRequest } from '#kinds/certificates.ts';
import { parseSigningRequest } from '#pki/index.ts';
import { certificateController } from './certificates.ts';
import { planApproval, planCleaning, planSigning } from './certificates-plan.ts';

const CSRS = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
const CLIENT = 'kubernetes.io/kube-apiserver-client';
let cluster: TestCluster;
const stack = new AsyncDisposableStack();

before(async () => {
  cluster = stack.use(await startTestCluster());
  const { client, pki } = cluster;
  await cluster.call('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: 'askers' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:node-bootstrapper' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'system:bootstrappers' }],
  });
  const informers = stack.use(new Informers({ client, clock: systemClock, log: silentLog }));
  const signer = { read: parseSigningRequest, sign: pki.authority.sign.bind(pki.authority) };
  stack.use(await runControllers({ client, informers, controllers: [certificateController(signer)], clock: systemClock, log: silentLog }));
});
after(() => stack.disposeAsync());

/** A request made by openssl, base64 as the API takes it. */
function request(subject: string, name: string, alternativeNames?: string): string {
  const file = (ending: string) => join(cluster.directory, `${name}.${ending}`);
  const args = ['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', subject];
  if (alternativeNames) args.push('-addext', `subjectAltName=${alternativeNames}`);
  execFileSync('openssl', [...args, '-keyout', file('key'), '-out', file('csr')], { stdio: 'pipe' });
  return readFileSync(file('csr')).toString('base64');
}

const csr = (name: string, signerName: string, subject: string, spec: object = {}) => ({
  apiVersion: 'certificates.k8s.io/v1',
  kind: 'CertificateSigningRequest',
  metadata: { name },
  spec: { request: request(subject, name), signerName, usages: ['client auth', 'digital signature'], ...spec },
});

async function settled(name: string): Promise<unknown> {
  await using watch = await openWatch(cluster, `${CSRS}?watch=1&fieldSelector=metadata.name%3D${name}`);
  const done = (object: unknown) =>
    at(object, 'status.certificate') || JSON.stringify(at(object, 'status.conditions') ?? '').includes('Failed');
  const frames = await watch.until(({ object }) => Boolean(done(object)));
  return frames.at(-1)?.object;
}

test('kubectl certificate approve gives a certificate that the API takes', async () => {
  const made = await cluster.call('POST', CSRS, csr('jane', CLIENT, '/O=dev/CN=jane', { expirationSeconds: 3600, username: 'someone' }), {
    'impersonate-user': 'jane',
    'impersonate-group': 'system:masters',
  });
  assert.equal(made.status, 201, made.text);
  assert.equal(at(made.body, 'spec.username'), 'jane', 'the server says who asks');
  assert.match((await cluster.kubectl('get', 'csr', 'jane')).stdout, /jane\s.*60m\s+Pending/);
  await cluster.kubectl('certificate', 'approve', 'jane');
  const issued = await settled('jane');
  const pem = Buffer.from(String(at(issued, 'status.certificate')), 'base64').toString();
  const certificate = new X509Certificate(pem);
  assert.ok(certificate.verify(new X509Certificate(cluster.pki.authority.certificate).publicKey));
  assert.equal(certificate.subject, 'O=dev\nCN=jane');
  const lifeMs = certificate.validToDate.getTime() - Date.now();
  assert.ok(lifeMs > 3_500_000 && lifeMs <= 3_600_000, `it lives ${lifeMs} ms`);
  writeFileSync(join(cluster.directory, 'jane.crt'), pem);
  const credentials = ['--client-certificate', join(cluster.directory, 'jane.crt'), '--client-key', join(cluster.directory, 'jane.key')];
  const server = ['--server', cluster.url, '--insecure-skip-tls-verify', '--kubeconfig', '/dev/null'];
  const { stdout } = await cluster.kubectl('auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}', ...server, ...credentials);
  assert.equal(stdout, 'jane');
});

test('kubectl certificate deny is final', async () => {
  await cluster.call('POST', CSRS, csr('denied', CLIENT, '/CN=x'));
  await cluster.kubectl('certificate', 'deny', 'denied');
  await assert.rejects(cluster.kubectl('certificate', 'approve', 'denied'), /Denied|mutually exclusive/);
  const { body } = await cluster.call('GET', `${CSRS}/denied`);
  assert.equal(at(body, 'status.conditions.0.type'), 'Denied');
  assert.ok(at(body, 'status.conditions.0.lastUpdateTime'));
});

test('a node’s request for its client certificate needs nobody; what a signer does not sign fails with the reason', async () => {
  const node = { 'impersonate-user': 'system:node:box', 'impersonate-group': 'system:nodes' };
  const signerName = 'kubernetes.io/kube-apiserver-client-kubelet';
  assert.equal((await cluster.call('POST', CSRS, csr('box', signerName, '/O=system:nodes/CN=system:node:box'), node)).status, 201);
  assert.equal(at(await settled('box'), 'status.conditions.0.reason'), 'AutoApproved');
  const another = await cluster.call('POST', CSRS, csr('another', signerName, '/O=system:nodes/CN=system:node:other'), node);
  assert.match(another.text, /can only create a node CSR with CN=system:node:box/);
  await cluster.call('POST', CSRS, csr('other', signerName, '/O=system:nodes/CN=system:node:other'), {
    'impersonate-user': 'jane',
    'impersonate-group': 'system:bootstrappers',
  });
  const usages = ['server auth', 'digital signature'];
  await cluster.call(
    'POST',
    CSRS,
    csr('nameless', 'kubernetes.io/kubelet-serving', '/O=system:nodes/CN=system:node:box', { usages }),
    node,
  );
  await cluster.kubectl('certificate', 'approve', 'nameless');
  assert.match(String(at(await settled('nameless'), 'status.conditions.1.message')), /at least one DNS name or IP address/);
  const named = { request: request('/O=system:nodes/CN=system:node:box', 'named', 'DNS:box,IP:10.0.0.1'), usages };
  await cluster.call('POST', CSRS, csr('named', 'kubernetes.io/kubelet-serving', '/CN=x', named), node);
  await cluster.kubectl('certificate', 'approve', 'named');
  const serving = new X509Certificate(Buffer.from(String(at(await settled('named'), 'status.certificate')), 'base64'));
  assert.equal(serving.subjectAltName, 'DNS:box, IP Address:10.0.0.1');
  assert.deepEqual(serving.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  const { body } = await cluster.call('GET', `${CSRS}/other`);
  assert.equal(at(body, 'status.conditions'), undefined, 'another node’s certificate is not given unasked');
});

test('approving and signing are permissions on the signer', async () => {
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  const rule = (verbs: string[], resources: string[], resourceNames?: string[]) => ({
    apiGroups: ['certificates.k8s.io'],
    verbs,
    resources,
    ...(resourceNames && { resourceNames }),
  });
  const rules = [
    rule(['update', 'patch', 'get'], ['certificatesigningrequests/approval', 'certificatesigningrequests/status']),
    rule(['approve'], ['signers'], ['example.com/*']),
    rule(['sign'], ['signers'], ['example.com/b']),
  ];
  await cluster.call('POST', `${rbac}/clusterroles`, { metadata: { name: 'approver' }, rules });
  await cluster.call('POST', `${rbac}/clusterrolebindings`, {
    metadata: { name: 'approver' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'approver' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'ann' }],
  });
  const merge = { 'impersonate-user': 'ann', 'content-type': 'application/merge-patch+json' };
  const approve = (name: string) =>
    cluster.call('PATCH', `${CSRS}/${name}/approval`, { status: { conditions: [{ type: 'Approved', status: 'True' }] } }, merge);
  const sign = (name: string) =>
    cluster.call(
      'PATCH',
      `${CSRS}/${name}/status`,
      { status: { certificate: Buffer.from(cluster.pki.admin.certificate).toString('base64') } },
      merge,
    );
  for (const signer of ['a', 'b']) await cluster.call('POST', CSRS, csr(signer, `example.com/${signer}`, '/CN=x'));
  await cluster.call('POST', CSRS, csr('c', CLIENT, '/CN=x'));
  assert.equal((await approve('a')).status, 200);
  const refused = await approve('c');
  assert.equal(refused.status, 403);
  assert.match(refused.text, /user not permitted to approve requests with signerName/);
  assert.equal((await sign('a')).status, 403);
  assert.equal((await sign('b')).status, 200);
  const again = await cluster.call('PATCH', `${CSRS}/b/status`, { status: { certificate: null } }, merge);
  assert.equal(again.status, 422, again.text);
});

test('requests that can’t be are refused with the field', async () => {
  const cases: [string, object, number, RegExp][] = [
    ['masters', csr('m', CLIENT, '/O=system:masters/CN=x'), 403, /system:masters group is not allowed/],
    ['no signer', csr('n', 'nonsense', '/CN=x'), 422, /spec.signerName/],
    ['the legacy signer', csr('l', 'kubernetes.io/legacy-unknown', '/CN=x'), 422, /not allowed via this API version/],
    ['short', csr('s', CLIENT, '/CN=x', { expirationSeconds: 599 }), 422, /600 seconds/],
    ['usages', csr('u', CLIENT, '/CN=x', { usages: ['client auth', 'client auth', 'flying'] }), 422, /spec.usages\[1\].*spec.usages\[2\]/],
    ['no PEM', csr('p', CLIENT, '/CN=x', { request: 'eA==' }), 422, /PEM block type/],
    [
      'broken PEM',
      csr('q', CLIENT, '/CN=x', {
        request: Buffer.from('-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----').toString('base64'),
      }),
      422,
      /can not be parsed/,
    ],
  ];
  for (const [what, body, code, why] of cases) {
    const { status, text } = await cluster.call('POST', CSRS, body);
    assert.equal(status, code, `${what}: ${text}`);
    assert.match(text, why, what);
  }
});

const names = { commonName: 'system:node:a', organizations: ['system:nodes'], dnsNames: [], ipAddresses: [], otherNames: [] };
const object = (spec: object, conditions: object[] = [], certificate?: string) =>
  ({
    metadata: { name: 'x', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec,
    status: { conditions, certificate },
  }) as unknown as CertificateSigningRequest;

test('plans: who is approved, who is signed, and for how long', () => {
  const spec = { signerName: `${CLIENT}-kubelet`, usages: ['client auth', 'digital signature'], username: 'system:node:a' };
  const approved = [{ type: 'Approved', status: 'True' }];
  assert.deepEqual(
    planApproval(object(spec), names)?.map(({ subresource }) => subresource),
    ['selfnodeclient', 'nodeclient'],
  );
  assert.equal(planApproval(object({ ...spec, signerName: CLIENT }), names), undefined);
  assert.equal(planApproval(object(spec), { ...names, organizations: ['a', 'b'] }), undefined);
  assert.equal(planSigning(object(spec), names), undefined);
  assert.deepEqual(planSigning(object({ ...spec, expirationSeconds: 600 }, approved), names), { lifeMs: 600_000 });
  assert.ok('failure' in planSigning(object({ ...spec, usages: ['server auth'] }, approved), names)!);
  assert.equal(planSigning(object({ ...spec, signerName: 'example.com/a' }, approved), names), undefined);
});

test('plans: what is over goes', () => {
  const hour = 3_600_000;
  const created = Date.parse('2026-01-01T00:00:00Z');
  const condition = (type: string) => [{ type, status: 'True', lastUpdateTime: '2026-01-01T00:00:00Z' }];
  const cases: [string, CertificateSigningRequest, hours: number, isOver: boolean][] = [
    ['pending', object({}), 23.9, false],
    ['pending', object({}), 24.1, true],
    ['denied', object({}, condition('Denied')), 0.9, false],
    ['denied', object({}, condition('Denied')), 1.1, true],
    ['approved and issued', object({}, condition('Approved'), 'eA=='), 1.1, true],
    ['approved, not issued yet', object({}, condition('Approved')), 2, false],
  ];
  for (const [what, one, hours, isOver] of cases)
    assert.equal(planCleaning(one, created + hours * hour).isOver, isOver, `${what} ${hours} h`);
});
