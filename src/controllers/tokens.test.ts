import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at, openWatch, startTestCluster } from '#apiserver/test-cluster.ts';
import { silentLog, systemClock } from '#base/index.ts';
import { Informers, runControllers } from '#client/index.ts';
import { Secret as SecretKind } from '#kinds/secret.ts';
import { ServiceAccount as ServiceAccountKind } from '#kinds/service-account.ts';
import type { Secret, ServiceAccount } from '#kinds/types.gen.ts';
import { planTokenSecrets, serviceAccountTokenController } from './service-account-token.ts';
import { planCleaning, tokenCleanerController } from './token-cleaner.ts';
import { ACCOUNT_UID, tokensOnly } from './token-secrets.ts';

const secret = (name: string, rest: object) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name }, ...rest }) as unknown as Secret;
const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'robot', uid: 'u1' } } as unknown as ServiceAccount;
const whole = { token: '', 'ca.crt': '', namespace: '' };
const annotated = (uid: string) => ({ metadata: { name: 's', annotations: { [ACCOUNT_UID]: uid } } });

test('a Secret for a service account is filled once, and goes with the account', () => {
  const cases: [string, object, ServiceAccount | undefined, string[]][] = [
    ['new', {}, account, ['fill']],
    ['whole', { ...annotated('u1'), data: whole }, account, []],
    ['its token was taken out', { ...annotated('u1'), data: { namespace: '' } }, account, ['fill']],
    ['of an account made anew', { ...annotated('u0'), data: whole }, account, ['delete']],
    ['of nobody', {}, undefined, ['delete']],
  ];
  for (const [what, rest, owner, expected] of cases)
    assert.deepEqual(
      planTokenSecrets([secret('s', rest)], owner).map(({ action }) => action),
      expected,
      what,
    );
});

test('bootstrap tokens go when their time is over', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  const ending = (name: string, time?: string) =>
    secret(name, {
      type: 'bootstrap.kubernetes.io/token',
      data: time === undefined ? {} : { expiration: Buffer.from(time).toString('base64') },
    });
  const { expired, againInMs } = planCleaning(
    [
      ending('past', '2025-12-31T00:00:00Z'),
      ending('soon', '2026-01-01T00:01:00Z'),
      ending('never'),
      ending('odd', 'tomorrow'),
      secret('other', {}),
    ],
    now,
  );
  assert.deepEqual(
    expired.map(({ metadata }) => metadata.name),
    ['past'],
  );
  assert.equal(againInMs, 60_000);
});

test('controllers keep nothing secret', () => {
  const kept = tokensOnly(secret('a', { type: 'bootstrap.kubernetes.io/token', data: { 'token-secret': 'c2VjcmV0', expiration: 'eA==' } }));
  assert.deepEqual(kept.data, { 'token-secret': '', expiration: 'eA==' });
  assert.equal(tokensOnly(secret('b', { type: 'Opaque', data: { password: 'eA==' } })).data, undefined);
});

test('a Secret gets its token, which the API takes, and ends with its account', { timeout: 30_000 }, async () => {
  await using cluster = await startTestCluster();
  const { client, pki } = cluster;
  await using informers = new Informers({ client, clock: systemClock, log: silentLog });
  const controllers = [
    serviceAccountTokenController({ caPem: 'the authority', sign: request => pki.tokens.signLegacy(request) }),
    tokenCleanerController,
  ];
  await using _running = await runControllers({ client, informers, controllers, clock: systemClock, log: silentLog });
  const metadata = { namespace: 'default', name: 'robot' };
  await client.create(ServiceAccountKind, { apiVersion: 'v1', kind: 'ServiceAccount', metadata });
  const annotations = { 'kubernetes.io/service-account.name': 'robot' };
  await using watch = await openWatch(cluster, '/api/v1/secrets?watch=1&resourceVersion=0');
  const type = 'kubernetes.io/service-account-token';
  await client.create(SecretKind, { apiVersion: 'v1', kind: 'Secret', metadata: { ...metadata, annotations }, type });
  await client.create(SecretKind, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace: 'kube-system', name: 'bootstrap-token-abcdef' },
    type: 'bootstrap.kubernetes.io/token',
    data: { expiration: Buffer.from('2001-01-01T00:00:00Z').toString('base64') },
  });
  const orphan = { namespace: 'default', name: 'orphan', annotations: { 'kubernetes.io/service-account.name': 'nobody' } };
  await client.create(SecretKind, { apiVersion: 'v1', kind: 'Secret', metadata: orphan, type });
  const gone = new Set<string>();
  let token = '';
  await watch.until(({ type: what, object }) => {
    if (what === 'DELETED') gone.add(String(at(object, 'metadata.name')));
    token ||= String(at(object, 'data.token') ?? '');
    return token !== '' && gone.has('bootstrap-token-abcdef') && gone.has('orphan');
  });
  const bearer = { authorization: `Bearer ${Buffer.from(token, 'base64')}` };
  assert.equal((await cluster.call('GET', '/version', undefined, bearer)).status, 200);
  await client.delete(ServiceAccountKind, metadata);
  await watch.until(({ type: what }) => what === 'DELETED');
  assert.equal((await cluster.call('GET', '/version', undefined, bearer)).status, 401);
});
