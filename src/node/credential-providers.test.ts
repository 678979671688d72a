import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { isUmiakError, ManualClock } from '#base/index.ts';
import { temporaryDirectory } from '#images/fixtures.ts';
import { planCredentialProviders } from './credential-provider-config.ts';
import { CredentialProviders } from './credential-providers.ts';

const provider = {
  name: 'helper',
  matchImages: ['*.example.com'],
  defaultCacheDuration: '10m',
  apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
};
const configOf = (...providers: object[]) => ({ kind: 'CredentialProviderConfig', apiVersion: 'kubelet.config.k8s.io/v1', providers });

test('a configuration is checked by field', () => {
  const table: [unknown, RegExp][] = [
    [[], /^f: it must be an object/],
    [{ ...configOf(provider), kind: 'Pod' }, /^f: kind must be/],
    [{ ...configOf(provider), apiVersion: 'v1' }, /^f: apiVersion must be one of kubelet\.config/],
    [configOf(), /^f: providers must be a list with at least one/],
    [configOf(provider, provider), /providers\[1\]\.name must be unique: helper/],
    [configOf({ ...provider, name: '../sh' }), /providers\[0\]\.name must be the name of a file/],
    [configOf({ ...provider, matchImages: [] }), /matchImages must be/],
    [configOf({ ...provider, defaultCacheDuration: '10' }), /defaultCacheDuration must be a duration/],
    [configOf({ ...provider, apiVersion: 'v1' }), /providers\[0\]\.apiVersion must be one of credentialprovider/],
    [configOf({ ...provider, args: 'x' }), /args must be/],
    [configOf({ ...provider, env: [{ name: 'A' }] }), /env must be/],
    [configOf({ ...provider, tokenAttributes: {} }), /tokenAttributes is not supported/],
    [configOf({ ...provider, extra: 1 }), /extra is no field/],
  ];
  for (const [document, message] of table)
    assert.throws(
      () => planCredentialProviders(document, 'f'),
      error => isUmiakError(error, 'Invalid') && message.test(error.message),
      String(message),
    );
  assert.deepEqual(planCredentialProviders(configOf({ ...provider, args: ['get'], env: [{ name: 'A', value: 'b' }] }), 'f')[0]?.env, {
    A: 'b',
  });
});

/** Providers by their scripts; how often each was asked is in `<name>.asked`. */
async function open(scripts: Record<string, string>, more: object = {}) {
  const directory = await temporaryDirectory();
  const at = (name: string) => join(directory.path, name);
  for (const [name, script] of Object.entries(scripts)) {
    await writeFile(at(name), `#!/bin/sh\ncat >> "$0.asked"; echo >> "$0.asked"\n${script}\n`);
    await chmod(at(name), 0o755);
  }
  const providers = Object.keys(scripts).map(name => ({ ...provider, name, ...more }));
  await writeFile(at('config.yaml'), JSON.stringify(configOf(...providers)));
  const clock = new ManualClock();
  return {
    providers: await CredentialProviders.open({ config: at('config.yaml'), binDir: directory.path, clock, timeoutMs: 2000 }),
    clock,
    asked: async (name: string) => (await readFile(at(`${name}.asked`), 'utf8').catch(() => '')).split('\n').filter(Boolean),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

const answer = (cacheKeyType: string, auth: object, cacheDuration?: string) =>
  `echo '${JSON.stringify({ kind: 'CredentialProviderResponse', apiVersion: provider.apiVersion, cacheKeyType, auth, cacheDuration })}'`;
const login = { username: 'ann', password: 'secret' };

test('a provider is asked in the kubelet’s protocol, only for images that it matches', async () => {
  await using made = await open({
    helper: answer('Image', { '*.example.com': login, 'r.example.com/team': { username: 'team', password: 'x' } }),
  });
  assert.deepEqual(await made.providers.loginsFor('other.example/app'), { logins: [], failures: [] });
  assert.deepEqual(await made.asked('helper'), []);
  const { logins, failures } = await made.providers.loginsFor('r.example.com/team/app:1');
  assert.deepEqual([logins, failures], [[{ username: 'team', password: 'x' }, login], []], 'the longest path first');
  assert.deepEqual(
    (await made.asked('helper')).map(each => JSON.parse(each)),
    [{ apiVersion: provider.apiVersion, kind: 'CredentialProviderRequest', image: 'r.example.com/team/app' }],
  );
});

test('answers are kept as long and for what they say, and asked for once by many', async () => {
  const images = ['r.example.com/a:1', 'r.example.com/a:2', 'r.example.com/b', 's.example.com/a'];
  const table: [scope: string, duration: string | undefined, asked: number][] = [
    ['Image', undefined, 3],
    ['Registry', undefined, 2],
    ['Global', '1h', 1],
    ['Global', '0s', 4],
  ];
  for (const [scope, duration, asked] of table) {
    await using made = await open({ helper: answer(scope, { '*.example.com': login }, duration) });
    for (const image of images) assert.deepEqual((await made.providers.loginsFor(image)).logins, [login]);
    assert.equal((await made.asked('helper')).length, asked, `${scope} ${duration}`);
  }
  await using made = await open({ helper: answer('Global', { '*.example.com': login }) });
  await Promise.all(Array.from({ length: 5 }, () => made.providers.loginsFor('r.example.com/a')));
  assert.equal((await made.asked('helper')).length, 1);
  made.clock.advance(10 * 60_000 + 1);
  await made.providers.loginsFor('r.example.com/a');
  assert.equal((await made.asked('helper')).length, 2, 'after its time it is asked again');
});

test('one that fails is named and does not keep others from answering; its words stay unsaid', async () => {
  const right = answer('Image', { 'r.example.com': login });
  const table: [script: string, message: RegExp][] = [
    ['echo SECRET; exit 2', /bad failed with exit code 2/],
    ['echo SECRET', /bad answered with no CredentialProviderResponse/],
    [answer('Image', { x: 'SECRET' }).replace('Image', 'Pod'), /cacheKeyType that is none of/],
    [answer('Image', {}).replace('/v1', '/v2'), /another apiVersion than/],
    [answer('Image', {}, 'soon'), /cacheDuration that is none/],
    ['exec sleep 60', /did not answer within 2 s/],
  ];
  await Promise.all(
    table.map(async ([script, message]) => {
      await using made = await open({ bad: script, helper: right });
      const { logins, failures } = await made.providers.loginsFor('r.example.com/app');
      assert.deepEqual(logins, [login]);
      assert.equal(failures.length, 1, script);
      assert.match(String(failures[0]), message);
      assert.doesNotMatch(String(failures[0]), /SECRET/);
    }),
  );
});
