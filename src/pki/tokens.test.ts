import assert from 'node:assert/strict';
import { createPublicKey, sign, verify } from 'node:crypto';
import { test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { newPrivateKey } from './ca.ts';
import { DEFAULT_ISSUER, TokenSigner } from './tokens.ts';

const request = {
  namespace: 'default',
  serviceAccount: { name: 'api', uid: 'u-1' },
  expirationSeconds: 600,
  pod: { name: 'api-x', uid: 'u-2' },
  node: { name: 'box', uid: 'u-3' },
};

test('signs the claims of a bound token and verifies them', () => {
  const clock = new ManualClock(1_700_000_000_500);
  const signer = new TokenSigner({ key: newPrivateKey(), clock });
  const { token, claims } = signer.sign(request);
  assert.deepEqual(signer.verify(token), claims);
  assert.deepEqual(
    { ...claims, jti: '' },
    {
      aud: [DEFAULT_ISSUER],
      exp: 1_700_000_600,
      iat: 1_700_000_000,
      nbf: 1_700_000_000,
      iss: DEFAULT_ISSUER,
      jti: '',
      sub: 'system:serviceaccount:default:api',
      'kubernetes.io': {
        namespace: 'default',
        serviceaccount: { name: 'api', uid: 'u-1' },
        pod: { name: 'api-x', uid: 'u-2' },
        node: { name: 'box', uid: 'u-3' },
      },
    },
  );
});

test('a token ends when it says, remembered or not', () => {
  const clock = new ManualClock();
  const signer = new TokenSigner({ key: newPrivateKey(), clock });
  const { token } = signer.sign(request);
  signer.verify(token);
  clock.advance(599_000);
  signer.verify(token);
  clock.advance(1_000);
  assert.throws(() => signer.verify(token), { reason: 'Unauthorized', message: 'service account token has expired' });
  assert.throws(() => new TokenSigner({ key: newPrivateKey(), clock, formerKeys: [] }).verify(token), { reason: 'Unauthorized' });
});

test('believes a token only for its audiences', () => {
  const signer = new TokenSigner({ key: newPrivateKey(), clock: new ManualClock() });
  const { token } = signer.sign({ ...request, audiences: ['vault', 'registry'] });
  assert.throws(() => signer.verify(token), /audiences/);
  assert.throws(() => signer.verify(token, ['other']), /audiences/);
  signer.verify(token, ['registry']);
});

test('refuses foreign, forged, malformed and unsigned tokens', () => {
  const clock = new ManualClock();
  const key = newPrivateKey();
  const signer = new TokenSigner({ key, clock });
  const { token, claims } = signer.sign(request);
  const [header, payload, signature] = token.split('.') as [string, string, string];
  const code = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const kid = JSON.parse(Buffer.from(header, 'base64url').toString()).kid;
  const resign = (head: string) => `${head}.${sign('sha256', Buffer.from(head), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  const bad = [
    '',
    'a',
    '..',
    '…',
    'bnVsbA.bnVsbA.bnVsbA',
    token.slice(0, -2),
    `${header}.${code({ ...claims, exp: claims.exp * 2 })}.${signature}`,
    `${code({ alg: 'none', kid })}.${payload}.`,
    `${code({ alg: 'HS256', kid })}.${payload}.${signature}`,
    `${code({ alg: 'ES256' })}.${payload}.${signature}`,
    resign(`${code({ alg: 'ES256', kid })}.${code({ ...claims, iss: 'https://elsewhere' })}`),
    new TokenSigner({ key: newPrivateKey(), clock }).sign(request).token,
    `${header}.${payload}.${'A'.repeat(9000)}`,
  ];
  for (const candidate of bad) assert.throws(() => signer.verify(candidate), { reason: 'Unauthorized' }, candidate);
});

test('goes on believing tokens of a key that was replaced, and publishes both', () => {
  const clock = new ManualClock();
  const [old, now] = [newPrivateKey(), newPrivateKey()];
  const { token } = new TokenSigner({ key: old, clock }).sign(request);
  const signer = new TokenSigner({ key: now, clock, formerKeys: [old] });
  signer.verify(token);
  assert.equal(signer.jwks().keys.length, 2);
});

test('others can verify a token by the published documents', () => {
  const signer = new TokenSigner({ key: newPrivateKey(), clock: new ManualClock() });
  const { token } = signer.sign(request);
  const [header, payload, signature] = token.split('.') as [string, string, string];
  const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString());
  const jwk = signer.jwks().keys.find(key => key.kid === kid)!;
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  assert.ok(verify('sha256', Buffer.from(`${header}.${payload}`), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url')));
  assert.equal(signer.openidConfiguration().jwks_uri, `${DEFAULT_ISSUER}/openid/v1/jwks`);
});

test('remembers a bounded number of tokens', () => {
  const signer = new TokenSigner({ key: newPrivateKey(), clock: new ManualClock() });
  const tokens = Array.from({ length: 5000 }, () => signer.sign(request).token);
  for (const token of tokens) signer.verify(token);
  const started = performance.now();
  for (let round = 0; round < 20_000; round++) signer.verify(tokens.at(-1)!);
  assert.ok(performance.now() - started < 1000, 'a remembered token costs no signature check');
  signer.verify(tokens[0]!);
});
