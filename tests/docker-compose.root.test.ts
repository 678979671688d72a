import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { until } from './cluster.ts';
import { findDockerClients } from './docker-clients.ts';
import { DockerHost } from './docker-host.ts';

const { have: clients, missing } = await findDockerClients({ compose: true });
const PROJECT = 'shop';

const COMPOSE = `
name: ${PROJECT}
x-box: &box
  image: busybox
  stop_grace_period: 0s
services:
  db:
    <<: *box
    command: sh -c 'sleep 0.4; echo ready > /data/ready; mkdir -p /w; echo rows > /w/index.html; httpd -f -h /w'
    volumes: [data:/data]
    networks: { back: { aliases: [database] } }
    healthcheck: { test: test -e /data/ready, interval: 200ms, timeout: 1s, retries: 50 }
  migrate:
    <<: *box
    command: sh -c 'cat /data/ready && echo migrated'
    volumes: [data:/data:ro]
    networks: [back]
    depends_on: { db: { condition: service_healthy } }
  web:
    <<: *box
    command: sh -c 'mkdir -p /w; wget -qO /w/index.html http://database/; cat /run/settings /run/secrets/word; httpd -f -h /w'
    networks: [front, back]
    ports: ['127.0.0.1::80']
    environment: { COLOR: blue }
    configs: [{ source: settings, target: /run/settings }]
    secrets: [word]
    depends_on: { migrate: { condition: service_completed_successfully } }
  worker:
    <<: *box
    command: sh -c 'trap "exit 0" TERM; while :; do sleep 0.1; done'
    networks: [back]
    deploy: { replicas: 2 }
  made:
    build: { context: ./made, args: { SAY: built } }
    stop_grace_period: 0s
    networks: [back]
  tool:
    <<: *box
    profiles: [tools]
    command: echo tool
    networks: [back]
networks:
  front:
  back: { internal: true }
volumes:
  data:
configs:
  settings: { file: ./settings }
secrets:
  word: { file: ./word }
`;

describe('docker compose', { skip: missing ?? clients?.compose.missing ?? false }, () => {
  let host: DockerHost;
  let directory: string;
  before(async () => {
    host = await DockerHost.start({ clients });
    directory = join(host.cluster.directory, 'project');
    mkdirSync(join(directory, 'made'), { recursive: true });
    writeFileSync(join(directory, 'compose.yaml'), COMPOSE);
    writeFileSync(join(directory, 'settings'), 'settings\n');
    writeFileSync(join(directory, 'word'), 'secret word\n');
    writeFileSync(join(directory, 'made/Dockerfile'), 'FROM busybox\nARG SAY\nENV SAY=$SAY\nCMD echo $SAY; sleep 1000\n');
  });
  after(() => host?.[Symbol.asyncDispose]());

  const tryCompose = (...args: string[]) => host.tryDocker(['compose', ...args], { cwd: directory, timeoutMs: 90_000 });
  async function compose(...args: string[]): Promise<string> {
    const { stdout, stderr, code } = await tryCompose(...args);
    assert.equal(code, 0, `docker compose ${args.join(' ')} exited with ${code}\n${stdout}${stderr}\n--- agent\n${host.agentLog()}`);
    // It clears each line of the logs first, for terminals.
    return stdout.replaceAll('\x1b[2K', '').trimEnd();
  }
  const services = async (...args: string[]) =>
    (await compose('ps', '--format', '{{.Service}} {{.State}}', ...args)).split('\n').filter(Boolean).sort();

  test('up waits for healthy and completed services, builds, and starts what depends on them', async () => {
    await compose('up', '-d', '--wait-timeout', '60');
    assert.deepEqual(await services(), ['db running', 'made running', 'web running', 'worker running', 'worker running']);
    assert.deepEqual(await services('-a', 'migrate'), ['migrate exited']);
    assert.match(await compose('logs', 'migrate'), /migrate-1 +\| ready\n.*migrated/);
    assert.match(await compose('logs', '--no-log-prefix', 'made'), /^built$/m);
    const { stdout } = await host.tryDocker(['ps', '--format', '{{.Names}}']);
    assert.ok(stdout.split('\n').includes('shop-web-1'), stdout);
  });

  test('names of services and aliases, configs, secrets, published ports', async () => {
    assert.match(await compose('logs', '--no-log-prefix', 'web'), /settings\nsecret word/);
    assert.equal(await compose('exec', '-T', 'web', 'wget', '-qO-', 'http://db/'), 'rows');
    assert.equal(await compose('exec', '-T', '-e', 'A=1', 'web', 'sh', '-c', 'echo $COLOR $A'), 'blue 1');
    const address = await compose('port', 'web', '80');
    assert.match(address, /^127\.0\.0\.1:\d+$/);
    assert.equal(await (await fetch(`http://${address}/`)).text(), 'rows\n');
    assert.equal((await tryCompose('exec', '-T', 'db', 'sh', '-c', 'exit 4')).code, 4);
  });

  test('a second up changes nothing; a changed service alone is made anew', async () => {
    const ids = async () => (await compose('ps', '-q')).split('\n').sort();
    const before = await ids();
    await compose('up', '-d');
    assert.deepEqual(await ids(), before);
    writeFileSync(join(directory, 'compose.yaml'), COMPOSE.replace('COLOR: blue', 'COLOR: green'));
    await compose('up', '-d');
    const after = await ids();
    assert.equal(after.filter(id => !before.includes(id)).length, 1);
    assert.equal(await compose('exec', '-T', 'web', 'sh', '-c', 'echo $COLOR'), 'green');
  });

  test('scale up and down, profiles, run, cp, top, restart, pause, stop and start', async () => {
    await compose('up', '-d', '--scale', 'worker=4', 'worker');
    assert.equal((await services('worker')).length, 4);
    await compose('scale', 'worker=1');
    assert.deepEqual(await services('worker'), ['worker running']);
    assert.match(await compose('run', '--rm', 'tool'), /tool/);
    assert.equal(await compose('run', '--rm', '-T', '--no-deps', 'web', 'echo', 'once'), 'once');
    await compose('cp', 'compose.yaml', 'worker:/copied');
    assert.match(await compose('exec', '-T', 'worker', 'cat', '/copied'), /name: shop/);
    assert.match(await compose('top', 'worker'), /sleep/);
    await compose('pause', 'worker');
    assert.deepEqual(await services('worker'), ['worker paused']);
    await compose('unpause', 'worker');
    await compose('restart', 'worker');
    await compose('stop', 'worker');
    assert.deepEqual(await services('-a', 'worker'), ['worker exited']);
    await compose('start', 'worker');
    assert.deepEqual(await services('worker'), ['worker running']);
    assert.match(await compose('images'), /shop-web-1/);
    assert.match(await compose('ls'), /shop +running\(4\)/);
  });

  test('up in the foreground shows the logs, and ends with the service that is asked for', async () => {
    const { stdout, code } = await tryCompose('--profile', 'tools', 'up', '--no-deps', '--exit-code-from', 'tool', 'tool');
    assert.match(stdout, /tool-1 +\| tool/, 'the output comes before the end, or compose drops it');
    assert.equal(code, 0);
  });

  test('down removes all but volumes, then those too', async () => {
    await compose('--profile', 'tools', 'down');
    assert.equal(await host.docker('ps', '-aq'), '');
    assert.deepEqual((await host.docker('network', 'ls', '--format', '{{.Name}}')).split('\n').sort(), ['bridge', 'host', 'none']);
    assert.equal(await host.docker('volume', 'ls', '-q'), 'shop_data');
    await until('up again', async () => (await tryCompose('up', '-d', 'db')).code === 0, 1);
    await compose('down', '-v', '--rmi', 'local');
    assert.equal(await host.docker('volume', 'ls', '-q'), '');
    assert.equal(await host.docker('images', '-q', 'shop-made'), '');
  });
});
