import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { buildImage, buildTar } from '#images/fixtures.ts';
import { RegistryFixture } from '#images/registry-fixture.ts';
import { until } from './cluster.ts';
import { findDockerClients } from './docker-clients.ts';
import { DockerHost } from './docker-host.ts';

const { have: clients, missing } = await findDockerClients();

describe(`the docker command ${clients?.version}: builds of what lies elsewhere`, { skip: missing ?? false }, () => {
  let host: DockerHost;
  before(async () => {
    host = await DockerHost.start({ clients });
  });
  after(() => host?.[Symbol.asyncDispose]());

  function contextOf(name: string, dockerfile: string): string {
    const directory = join(host.cluster.directory, name);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'Dockerfile'), dockerfile);
    return directory;
  }

  test('a login that the client keeps pulls the images of a build; --pull asks for newer ones', async () => {
    await using registry = await RegistryFixture.start();
    registry.login = { username: 'anna', password: 'secret' };
    const imageOf = (content: string) => buildImage([buildTar([{ name: 'said', content }])]);
    registry.add('team/base', '1', imageOf('first'));
    const directory = contextOf(
      'login',
      `FROM ${registry.host}/team/base:1 AS base\nFROM busybox\nCOPY --from=base /said /\nRUN cat /said\n`,
    );
    assert.notEqual((await host.tryDocker(['build', directory])).code, 0, 'nobody gets it without a login');
    const path = join(host.configDirectory, 'config.json');
    const kept = readFileSync(path, 'utf8');
    const auths = { [registry.host]: { auth: Buffer.from('anna:secret').toString('base64') } };
    writeFileSync(path, JSON.stringify({ ...JSON.parse(kept), auths }));
    try {
      assert.match(await host.docker('build', directory), /\nfirst[\s\S]*Successfully built/);
      registry.add('team/base', '1', imageOf('second'));
      assert.match(await host.docker('build', '--no-cache', directory), /\nfirst/);
      const asks = registry.count('/manifests/');
      await host.docker('build', directory);
      assert.equal(registry.count('/manifests/'), asks, 'what is here is not asked for');
    } finally {
      writeFileSync(path, kept);
    }
    const header = Buffer.from(JSON.stringify({ [registry.host]: { username: 'anna', password: 'secret' } })).toString('base64');
    const only = buildTar([{ name: 'Dockerfile', content: `FROM ${registry.host}/team/base:1\n` }]);
    const pulled = await host.api('POST', '/build?pull=1&t=pulled', only, { 'x-registry-config': header });
    assert.match(pulled.text, /Successfully tagged pulled:latest/);
    const used = buildTar([{ name: 'Dockerfile', content: 'FROM busybox\nCOPY --from=pulled /said /\nRUN cat /said\n' }]);
    assert.match((await host.api('POST', '/build', used)).text, /second/);
    const broken = await host.api('POST', '/build', only, { 'x-registry-config': Buffer.from('[').toString('base64') });
    assert.equal(broken.status, 400);
  });

  test('contexts by their address: a Dockerfile, archives, what is not there; who leaves ends the fetching', async () => {
    let stuck = 0;
    const archive = buildTar([
      { name: 'Dockerfile', content: 'FROM busybox\nCOPY a /\nRUN cat /a\n' },
      { name: 'a', content: 'fetched\n' },
    ]);
    const answers: Record<string, Buffer | string> = {
      '/Dockerfile': 'FROM busybox\nRUN echo alone\n',
      '/context.tar': archive,
      '/context.tar.gz': gzipSync(archive),
    };
    const server = createServer(({ url = '' }, response) => {
      const answer = answers[url];
      if (url === '/stuck') {
        stuck += 1;
        response.writeHead(200).write('FROM');
        response.once('close', () => (stuck -= 1));
      } else response.writeHead(answer === undefined ? 404 : 200).end(answer);
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const build = (path: string, more = '') => host.api('POST', `/build?remote=${encodeURIComponent(address + path)}${more}`);
    try {
      assert.match((await build('/Dockerfile')).text, /alone/);
      for (const path of ['/context.tar', '/context.tar.gz']) assert.match((await build(path, '&nocache=1')).text, /fetched/, path);
      const missingOne = await build('/nothing');
      assert.match(missingOne.text, /status 404/);
      assert.match((await host.api('POST', '/build?remote=git://example.com/x.git')).text, /git repository/);
      const path = `/build?remote=${encodeURIComponent(`${address}/stuck`)}`;
      const leaving = request({ socketPath: host.socketPath, method: 'POST', path }).on('error', () => {});
      leaving.end();
      await until('it is asked for', () => stuck === 1);
      leaving.destroy();
      await until('nobody asks any more', () => stuck === 0);
      const cancelled = build('/stuck', '&buildid=stuck');
      await until('it is asked for again', () => stuck === 1);
      await host.api('POST', '/build/cancel?id=stuck');
      assert.match((await cancelled).text, /build cancelled/);
      await until('nobody asks any more', () => stuck === 0);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
