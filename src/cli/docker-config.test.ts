import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { temporaryDirectory } from '#images/fixtures.ts';
import { planHelper, registryAuthHeader } from './docker-config.ts';

let directory: AsyncDisposable & { path: string };
before(async () => {
  directory = await temporaryDirectory();
});
after(() => directory[Symbol.asyncDispose]());

/** A folder with a config.json and helpers by name, as the environment of who asks. */
async function home(config: unknown, helpers: Record<string, string> = {}): Promise<NodeJS.ProcessEnv> {
  const at = join(directory.path, String(Math.random()).slice(2));
  await mkdir(at);
  await writeFile(join(at, 'config.json'), typeof config === 'string' ? config : JSON.stringify(config));
  for (const [name, script] of Object.entries(helpers)) {
    const path = join(at, `docker-credential-${name}`);
    await writeFile(path, `#!/bin/sh\n${script}\n`);
    await chmod(path, 0o755);
  }
  return { DOCKER_CONFIG: at, PATH: `${at}:${process.env.PATH}` };
}

const login = async (image: string, env: NodeJS.ProcessEnv) => {
  const header = await registryAuthHeader(image, env);
  return header === undefined ? undefined : JSON.parse(Buffer.from(header, 'base64url').toString());
};

test('the login in the file, by all names that docker gives a registry', async () => {
  const auth = { auth: Buffer.from('ann:secret').toString('base64') };
  const env = await home({ auths: { 'https://index.docker.io/v1/': auth, 'https://r.example:5000/v2/': auth } });
  for (const image of ['redis', 'docker.io/team/app:1', 'r.example:5000/app']) assert.deepEqual(await login(image, env), auth, image);
  assert.equal(await login('other.example/app', env), undefined);
  for (const odd of ['', '[]', '{"auths":[]}', '{"auths":{"r.example":null}}'])
    assert.equal(await login('r.example/a', await home(odd)), undefined);
});

test('a registry’s own helper goes before the helper for all, and that before the file', () => {
  const config = { credsStore: 'all', credHelpers: { 'r.example': 'own', 'https://index.docker.io/v1/': 'hub', 'quiet.example': '' } };
  const table = { 'r.example': 'own', 'docker.io': 'hub', 'other.example': 'all', 'quiet.example': undefined };
  for (const [registry, helper] of Object.entries(table)) assert.equal(planHelper(config, registry), helper, registry);
  assert.equal(planHelper({}, 'r.example'), undefined);
});

test('a helper is asked in docker’s protocol: server on stdin, login or token on stdout', async () => {
  const script = 'printf "%s %s" "$1" "$(cat)" > "$DOCKER_CONFIG/asked"; echo \'{"ServerURL":"x","Username":"ann","Secret":"s3cret"}\'';
  const env = await home({ credsStore: 'test', auths: { 'r.example': { auth: 'eDp5' } } }, { test: script });
  assert.deepEqual(await login('r.example/app', env), { username: 'ann', password: 's3cret' });
  assert.equal(await readFile(join(env.DOCKER_CONFIG!, 'asked'), 'utf8'), 'get r.example');
  await login('redis', env);
  assert.equal(await readFile(join(env.DOCKER_CONFIG!, 'asked'), 'utf8'), 'get https://index.docker.io/v1/');
  const token = await home({ credHelpers: { 'r.example': 't' } }, { t: 'echo \'{"Username":"<token>","Secret":"refresh"}\'' });
  assert.deepEqual(await login('r.example/app', token), { identitytoken: 'refresh' });
  const none = await home({ credsStore: 't' }, { t: 'echo credentials not found in native keychain; exit 1' });
  assert.equal(await login('r.example/app', none), undefined);
});

test('a helper that fails is named; what it wrote is not', async () => {
  const table: [string, string | undefined, RegExp][] = [
    ['gone', undefined, /docker-credential-gone is not there/],
    ['bad', 'echo SECRET; exit 3', /docker-credential-bad failed with exit code 3/],
    ['odd', 'echo SECRET', /answered with something that is no login/],
    ['half', 'echo \'{"Username":"SECRET"}\'', /no login/],
    ['endless', 'yes SECRET', /wrote more than 1048576 bytes/],
    ['../../bin/sh', undefined, /is no name of a credential helper/],
  ];
  for (const [name, script, message] of table) {
    const env = await home({ credsStore: name }, script === undefined ? {} : { [name]: script });
    await assert.rejects(registryAuthHeader('r.example/app', env), error => {
      assert.ok(isUmiakError(error, 'Unauthorized'), String(error));
      assert.match(error.message, message);
      assert.doesNotMatch(`${error.message}${error.hint}${error.stack}${error.cause}`, /SECRET/);
      return true;
    });
  }
});
