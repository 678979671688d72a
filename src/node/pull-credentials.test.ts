import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Secret } from '#kinds/secret.ts';
import { made } from '#kinds/testing.ts';
import { credentialsFor } from './pull-credentials.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const secretOf = (auths: object, type = 'kubernetes.io/dockerconfigjson') => {
  const data = type.endsWith('json')
    ? { '.dockerconfigjson': base64(JSON.stringify({ auths })) }
    : { '.dockercfg': base64(JSON.stringify(auths)) };
  return made(Secret, { metadata: { name: 's' }, type, data });
};
const login = (name: string) => ({ username: name, password: 'p' });

describe('credentialsFor', () => {
  const cases: { auths: Record<string, object>; image: string; gives: object[] }[] = [
    { auths: { 'https://index.docker.io/v1/': login('hub') }, image: 'redis', gives: [login('hub')] },
    { auths: { 'https://index.docker.io/v1/': login('hub') }, image: 'example.com/redis', gives: [] },
    { auths: { 'example.com': login('a') }, image: 'example.com/team/app', gives: [login('a')] },
    { auths: { 'example.com:5000': login('a') }, image: 'example.com/team/app', gives: [] },
    { auths: { '127.0.0.1:5000': login('a') }, image: '127.0.0.1:5000/app:1', gives: [login('a')] },
    {
      auths: { 'example.com': login('all'), 'example.com/team': login('team'), 'example.com/tea': login('no') },
      image: 'example.com/team/app',
      gives: [login('team'), login('all')],
    },
    { auths: { '*.example.com': login('a') }, image: 'eu.example.com/app', gives: [login('a')] },
    { auths: { '*.example.com': login('a') }, image: 'a.eu.example.com/app', gives: [] },
    {
      auths: { 'example.com': { auth: base64('ann:se:cret') } },
      image: 'example.com/a',
      gives: [{ username: 'ann', password: 'se:cret' }],
    },
    { auths: { 'example.com': { identitytoken: 't' } }, image: 'example.com/a', gives: [{ identityToken: 't' }] },
    { auths: { 'example.com': { auth: 7 }, 'example.com/a': { auth: base64('nothing') } }, image: 'example.com/a', gives: [] },
  ];
  for (const { auths, image, gives } of cases)
    test(`${image} with ${Object.keys(auths).join(', ')}: ${gives.length} logins`, () =>
      assert.deepEqual(credentialsFor(image, [secretOf(auths)]), gives));

  test('the old form is read, other types and nonsense are not', () => {
    assert.deepEqual(credentialsFor('example.com/a', [secretOf({ 'example.com': login('old') }, 'kubernetes.io/dockercfg')]), [
      login('old'),
    ]);
    const opaque = { ...secretOf({ 'example.com': login('a') }), type: 'Opaque' };
    const broken = { ...secretOf({}), data: { '.dockerconfigjson': base64('{') } };
    const list = { ...secretOf({}), data: { '.dockerconfigjson': base64('[1]') } };
    assert.deepEqual(credentialsFor('example.com/a', [opaque, broken, list]), []);
  });

  test('the same login from two Secrets is tried once', () => {
    const secret = secretOf({ 'example.com': login('a') });
    assert.equal(credentialsFor('example.com/a', [secret, secret]).length, 1);
  });
});
