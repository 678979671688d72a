import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { request as secureRequest } from 'node:https';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { temporaryDirectory } from '#images/fixtures.ts';
import { type ImageStore, openImages } from '#images/index.ts';
import { CertificateAuthority, type CertificateRequest } from '#pki/index.ts';
import { type DockerApi, startDockerApi } from './docker-api.ts';
import { dockerGroup } from './listeners.ts';
import { checkTcp, type DockerListeners, type DockerTcp } from './tcp-address.ts';

const exec = promisify(execFile);

let stack: AsyncDisposableStack;
let directory: string;
let images: ImageStore;

before(async () => {
  stack = new AsyncDisposableStack();
  directory = stack.use(await temporaryDirectory()).path;
  images = stack.use(await openImages({ dataDir: join(directory, 'data'), log: silentLog }));
});
after(() => stack.disposeAsync());

function serve(name: string, listeners: DockerListeners): Promise<DockerApi> {
  return startDockerApi({ socketPath: join(directory, `${name}.sock`), images, version: '9.9.9', log: silentLog, listeners });
}

async function docker(args: string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const { stdout } = await exec('docker', args, { env: { ...process.env, DOCKER_CONFIG: directory, ...env }, timeout: 30_000 });
  return stdout.trim();
}

const VERSION = ['version', '--format', '{{.Server.Version}}'];

/** A pair's files, for docker's options. */
async function issue(
  authority: CertificateAuthority,
  name: string,
  request: Pick<CertificateRequest, 'usages' | 'hosts'>,
): Promise<{ certificate: string; key: string }> {
  const pair = await authority.issue({ commonName: name, ...request });
  const files = { certificate: join(directory, `${name}.crt`), key: join(directory, `${name}.key`) };
  writeFileSync(files.certificate, pair.certificate);
  writeFileSync(files.key, pair.key, { mode: 0o600 });
  return files;
}

test('an address serves clients with a certificate of its authority, and nobody else', async () => {
  const authority = await CertificateAuthority.open({ directory: join(directory, 'ca'), clock: systemClock });
  const foreign = await CertificateAuthority.open({ directory: join(directory, 'foreign'), clock: systemClock });
  const clientCa = join(directory, 'ca', 'ca.crt');
  const server = await issue(authority, 'server', { usages: ['serverAuth'], hosts: ['127.0.0.1'] });
  const client = await issue(authority, 'client', { usages: ['clientAuth'] });
  const stranger = await issue(foreign, 'stranger', { usages: ['clientAuth'] });
  await using api = await serve('tls', { tcp: { host: '127.0.0.1', port: 0, tls: { ...server, clientCa } } });
  const at = ['-H', `tcp://127.0.0.1:${api.port}`, '--tlsverify', '--tlscacert', clientCa];
  const as = ({ certificate, key }: { certificate: string; key: string }) => ['--tlscert', certificate, '--tlskey', key];
  assert.equal(await docker([...at, ...as(client), ...VERSION]), '9.9.9');
  await assert.rejects(docker([...at, ...as(stranger), ...VERSION]), /certificate|tls/i);
  await assert.rejects(docker(['-H', `tcp://127.0.0.1:${api.port}`, ...VERSION]));
  const nameless = secureRequest({ host: '127.0.0.1', port: api.port, path: '/_ping', ca: readFileSync(clientCa), agent: false }).end();
  await assert.rejects(once(nameless, 'response'), /certificate required|ECONNRESET|socket hang up/);
});

test('loopback without TLS: for programs of this machine, not for pages in its browsers', async () => {
  await using api = await serve('plain', { tcp: { host: '127.0.0.1', port: 0 } });
  assert.equal(await docker(['-H', `tcp://127.0.0.1:${api.port}`, ...VERSION]), '9.9.9');
  assert.equal(await docker(['-H', `tcp://localhost:${api.port}`, ...VERSION]), '9.9.9');
  const status = async (headers: Record<string, string>) => {
    const asked = request({ host: '127.0.0.1', port: api.port, path: '/_ping', method: 'POST', headers }).end();
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    answer.resume();
    return answer.statusCode;
  };
  assert.equal(await status({ origin: 'https://page.example' }), 403);
  assert.equal(await status({ host: 'rebound.example:2375' }), 403);
  assert.equal(await status({ connection: 'upgrade', upgrade: 'tcp', host: 'rebound.example' }), 403);
  assert.equal(await status({ host: '[::1]:2375' }), 405);
  assert.equal(await status({ host: '127.0.0.1:2375', origin: 'http://127.0.0.1:2375' }), 405);
  assert.equal(await status({ host: '127.0.0.1:2375', origin: 'null' }), 403);
  assert.equal(await status({ host: 'rebound.example:2375', origin: 'http://rebound.example:2375' }), 403);
});

const addresses: [tcp: DockerTcp, isRefused: boolean][] = [
  [{ host: '127.0.0.1', port: 1 }, false],
  [{ host: '::1', port: 1 }, false],
  [{ host: '0.0.0.0', port: 1 }, true],
  [{ host: 'localhost', port: 1 }, true],
  [{ host: '127.0.0.1.example.org', port: 1 }, true],
  [{ host: '0.0.0.0', port: 1, tls: { certificate: 'c', key: 'k', clientCa: 'a' } }, false],
];
for (const [tcp, isRefused] of addresses)
  test(`${tcp.host} ${tcp.tls ? 'with' : 'without'} TLS is ${isRefused ? 'refused' : 'taken'}`, () => {
    if (isRefused) assert.throws(() => checkTcp(tcp), /would make whoever reaches it root/);
    else checkTcp(tcp);
  });

test('files that are no certificates are named', async () => {
  const nothing = join(directory, 'nothing');
  writeFileSync(nothing, 'nothing');
  const tls = { certificate: nothing, key: nothing, clientCa: nothing };
  await assert.rejects(serve('bad', { tcp: { host: '127.0.0.1', port: 0, tls } }), /certificate, key and client CA are not usable/);
  await assert.rejects(
    serve('bad', { tcp: { host: '127.0.0.1', port: 0, tls: { ...tls, key: join(directory, 'absent') } } }),
    /key .*absent can't be read/,
  );
  assert.equal(existsSync(join(directory, 'bad.sock')), false);
});

test('a further socket, for its group; one that another daemon serves is left alone', async () => {
  const path = join(directory, 'shared', 'docker.sock');
  {
    await using _ = await serve('main', { socketPath: path });
    assert.equal(statSync(path).mode & 0o777, 0o660);
    assert.equal(await docker(['-H', `unix://${path}`, ...VERSION]), '9.9.9');
  }
  assert.equal(existsSync(path), false);
  const other = createServer().listen(path);
  await assert.rejects(serve('main', { socketPath: path }), /somebody else serves docker's API on .*docker.sock/);
  assert.ok(existsSync(path));
  await new Promise(resolve => other.close(resolve));
  assert.equal(dockerGroup('root:x:0:\ndocker:x:998:anna\n'), 998);
  assert.equal(dockerGroup('root:x:0:\nnodocker:x:5:\n'), undefined);
});

test('DOCKER_HOST=ssh://…: the docker command on the far side is the way in', async () => {
  await using _ = await serve('far', {});
  const bin = join(directory, 'bin');
  mkdirSync(bin);
  writeFileSync(
    join(bin, 'ssh'),
    `#!/bin/sh\n# The far side: what stands behind the host's name is run there.\nwhile [ "$1" != far.example ]; do shift; done\nshift\nexport DOCKER_HOST=unix://${directory}/far.sock\nexec sh -c "$*"\n`,
  );
  chmodSync(join(bin, 'ssh'), 0o755);
  const env = { PATH: `${bin}:${process.env.PATH}`, DOCKER_HOST: 'ssh://anna@far.example' };
  assert.equal(await docker(VERSION, env), '9.9.9');
  assert.equal(await docker(['images', '-q'], env), '');
  await docker(['context', 'create', 'far', '--docker', 'host=ssh://anna@far.example'], env);
  assert.equal(await docker(['--context', 'far', ...VERSION], { ...env, DOCKER_HOST: '' }), '9.9.9');
});
