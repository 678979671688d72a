import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { after, before, test } from 'node:test';
import { at, startTestCluster, type TestCluster } from '../test-cluster.ts';

let cluster: TestCluster;
const shop = '/api/v1/namespaces/shop';

before(async () => {
  cluster = await startTestCluster();
  await create('/api/v1/namespaces', { metadata: { name: 'shop' } });
  await create(`${shop}/serviceaccounts`, { metadata: { name: 'default' } });
});
after(() => cluster?.[Symbol.asyncDispose]());

async function create(path: string, body: object): Promise<unknown> {
  const { status, text, body: made } = await cluster.call('POST', path, body);
  assert.equal(status, 201, text);
  return made;
}

const request = (spec: object, account = 'default') =>
  cluster.call('POST', `${shop}/serviceaccounts/${account}/token`, {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: {},
    spec: { audiences: [], ...spec },
  });

async function tokenFor(spec: object): Promise<string> {
  const { status, body, text } = await request(spec);
  assert.equal(status, 201, text);
  return String(at(body, 'status.token'));
}

/** Who the bearer is, or the code of the refusal. */
async function whoIs(token: string): Promise<unknown> {
  const body = { kind: 'SelfSubjectReview', apiVersion: 'authentication.k8s.io/v1' };
  const answer = await cluster.call('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', body, {
    authorization: `Bearer ${token}`,
  });
  return answer.status === 201 ? at(answer.body, 'status.userInfo') : answer.status;
}

async function reviewed(token: string, audiences?: string[]): Promise<unknown> {
  const spec = { token, ...(audiences && { audiences }) };
  const body = { kind: 'TokenReview', apiVersion: 'authentication.k8s.io/v1', spec };
  return at((await cluster.call('POST', '/apis/authentication.k8s.io/v1/tokenreviews', body)).body, 'status');
}

test('what may be asked of a token', async () => {
  const cases: [object, number, RegExp][] = [
    [{ expirationSeconds: 599 }, 422, /may not specify a duration less than 10 minutes/],
    [{ expirationSeconds: 2 ** 32 + 1 }, 422, /2\^32 seconds/],
    [{ boundObjectRef: { kind: 'ConfigMap', apiVersion: 'v1', name: 'x' } }, 400, /cannot bind token/],
    [{ boundObjectRef: { kind: 'Secret', apiVersion: 'v1', name: 'x' } }, 404, /secrets ."x." not found/],
  ];
  for (const [spec, code, why] of cases) {
    const { status, text } = await request(spec);
    assert.equal(status, code, text);
    assert.match(text, why);
  }
  assert.equal((await request({}, 'nobody')).status, 404);
  const { body } = await request({ expirationSeconds: 600 });
  assert.deepEqual(at(body, 'spec.audiences'), [cluster.pki.tokens.issuer]);
});

test('a token bound to a pod, a secret or a node ends with it, and is not another’s of the same name', async () => {
  const bodies: Record<string, [path: string, body: object]> = {
    Pod: [`${shop}/pods`, { metadata: { name: 'bound' }, spec: { nodeName: 'box', containers: [{ name: 'a', image: 'x' }] } }],
    Secret: [`${shop}/secrets`, { metadata: { name: 'bound' } }],
    Node: ['/api/v1/nodes', { metadata: { name: 'bound' } }],
  };
  for (const [kind, [path, body]] of Object.entries(bodies)) {
    const made = await create(path, body);
    const boundObjectRef = { kind, apiVersion: 'v1', name: 'bound', uid: at(made, 'metadata.uid') };
    const token = await tokenFor({ boundObjectRef });
    const who = await whoIs(token);
    assert.equal(at(who, 'username'), 'system:serviceaccount:shop:default', kind);
    const extra = at(who, 'extra') as Record<string, string[]>;
    assert.match(String(extra['authentication.kubernetes.io/credential-id']), /^JTI=/);
    if (kind === 'Pod') {
      assert.deepEqual(extra['authentication.kubernetes.io/pod-name'], ['bound']);
      assert.deepEqual(extra['authentication.kubernetes.io/node-name'], ['box']);
    }
    if (kind === 'Node') assert.deepEqual(extra['authentication.kubernetes.io/node-name'], ['bound']);
    assert.equal((await cluster.call('DELETE', `${path}/bound?gracePeriodSeconds=0`)).status, 200);
    assert.equal(await whoIs(token), 401, `${kind} is gone`);
    await create(path, body);
    assert.equal(await whoIs(token), 401, `${kind} was made anew`);
    assert.equal(at(await reviewed(token), 'authenticated'), false);
    assert.equal((await request({ boundObjectRef })).status, 409, 'the uid of the one before');
  }
});

test('reviews tell audiences apart', async () => {
  const token = await tokenFor({ audiences: ['vault', 'other'] });
  assert.equal(await whoIs(token), 401, 'not meant for the API');
  assert.deepEqual(at(await reviewed(token, ['vault', 'x']), 'audiences'), ['vault']);
  const { authenticated, error } = (await reviewed(token)) as { authenticated?: boolean; error: string };
  assert.ok(!authenticated && /audience/.test(error));
});

test('the token in a Secret serves while the Secret holds it', async () => {
  const account = (await cluster.call('GET', `${shop}/serviceaccounts/default`)).body;
  const uid = String(at(account, 'metadata.uid'));
  const token = cluster.pki.tokens.signLegacy({ namespace: 'shop', secretName: 'old', serviceAccount: { name: 'default', uid } });
  assert.equal(await whoIs(token), 401);
  const metadata = { name: 'old', annotations: { 'kubernetes.io/service-account.name': 'default' } };
  const data = { token: Buffer.from(token).toString('base64') };
  await create(`${shop}/secrets`, { metadata, type: 'kubernetes.io/service-account-token', data });
  assert.deepEqual(at(await whoIs(token), 'groups'), ['system:serviceaccounts', 'system:serviceaccounts:shop', 'system:authenticated']);
  const [head, payload] = token.split('.');
  assert.equal(await whoIs(`${head}.${payload}.${'A'.repeat(86)}`), 401, 'a forged signature');
  await cluster.call('DELETE', `${shop}/secrets/old`);
  assert.equal(await whoIs(token), 401);
});

test('bootstrap tokens name their groups, until they end', async () => {
  const secret = (id: string, more: Record<string, string> = {}) =>
    create('/api/v1/namespaces/kube-system/secrets', {
      metadata: { name: `bootstrap-token-${id}` },
      type: 'bootstrap.kubernetes.io/token',
      stringData: {
        'token-id': id,
        'token-secret': '0123456789abcdef',
        'usage-bootstrap-authentication': 'true',
        'auth-extra-groups': 'system:bootstrappers:workers',
        ...more,
      },
    });
  await secret('aaaaaa', { expiration: '2999-01-01T00:00:00Z' });
  await secret('bbbbbb', { expiration: '2001-01-01T00:00:00Z' });
  await secret('cccccc', { 'usage-bootstrap-authentication': 'false' });
  await secret('dddddd', { 'auth-extra-groups': 'system:masters' });
  await secret('eeeeee', { expiration: 'some day' });
  const who = await whoIs('aaaaaa.0123456789abcdef');
  assert.equal(at(who, 'username'), 'system:bootstrap:aaaaaa');
  assert.deepEqual(at(who, 'groups'), ['system:bootstrappers', 'system:bootstrappers:workers', 'system:authenticated']);
  for (const id of ['bbbbbb', 'cccccc', 'dddddd', 'eeeeee', 'zzzzzz']) assert.equal(await whoIs(`${id}.0123456789abcdef`), 401, id);
  assert.equal(await whoIs('aaaaaa.0123456789abcdee'), 401);
});

test('others can check tokens by OpenID discovery', async () => {
  const discovery = await cluster.call('GET', '/.well-known/openid-configuration', undefined, { accept: 'application/json' });
  assert.equal(at(discovery.body, 'issuer'), cluster.pki.tokens.issuer);
  const keys = await cluster.call('GET', '/openid/v1/jwks', undefined, { accept: 'application/jwk-set+json' });
  assert.equal(keys.headers['content-type'], 'application/jwk-set+json');
  const [header, payload, signature] = (await tokenFor({})).split('.') as [string, string, string];
  const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString());
  const jwk = (at(keys.body, 'keys') as { kid: string }[]).find(key => key.kid === kid)!;
  const key = createPublicKey({ key: jwk as never, format: 'jwk' });
  const signed = Buffer.from(`${header}.${payload}`);
  assert.ok(verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url')));
});

test('kubectl create token', async () => {
  const { stdout } = await cluster.kubectl('create', 'token', 'default', '-n', 'shop', '--duration', '20m');
  assert.equal(at(await whoIs(stdout.trim()), 'username'), 'system:serviceaccount:shop:default');
});
