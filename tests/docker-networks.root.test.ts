import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { endpointPrefix } from '#net/bridges/link-names.ts';
import { askUdp, startEcho } from '#net/test-network.ts';
import { haveCrictl } from '../critest/build.ts';
import { until } from './cluster.ts';
import { findDockerClients } from './docker-clients.ts';
import { DockerHost } from './docker-host.ts';

const { have: clients, missing } = await findDockerClients();
const crictl = await haveCrictl();

/** Asks every 20 ms until there is an answer; what it was, and after how long. */
const ASK_AGAIN = `
const resolver = new (require('node:dns').promises.Resolver)({ timeout: 50, tries: 1 });
resolver.setServers(['127.0.0.11']);
const start = performance.now();
const ask = () => resolver.resolve4(process.argv[1]).then(
  found => console.log(found[0], Math.round(performance.now() - start)),
  () => setTimeout(ask, 20));
ask();`;

/** Networks of docker's on a real kernel, by the docker command and the API. */
describe('docker networks', { skip: missing ?? false }, () => {
  let host: DockerHost;
  before(async () => {
    host = await DockerHost.start({ clients });
  });
  after(() => host?.[Symbol.asyncDispose]());

  const docker = (...args: string[]) => host.docker(...args);
  const fails = async (args: string[], message: RegExp, code = 1) => {
    const ran = await host.tryDocker(args);
    assert.match(ran.stderr, message, `docker ${args.join(' ')}`);
    assert.equal(ran.code, code, `docker ${args.join(' ')}: ${ran.stderr}`);
  };
  const serve = 'mkdir -p /w; hostname > /w/index.html; exec httpd -f -p 80 -h /w';
  const server = (name: string, ...more: string[]) =>
    docker('run', '-d', '--name', name, '--hostname', name, ...more, 'busybox', 'sh', '-c', serve);
  const inside = async (name: string, ...command: string[]) => {
    const { stdout, stderr, code } = await host.tryDocker(['exec', name, ...command]);
    return code === 0 ? stdout.trim() : `failed ${code} ${stdout}${stderr}`;
  };
  /** The page that a container gets from an address. Debian's static busybox dies of wget, which looks up names of services. */
  const page = async (from: string, address: string) => {
    const [, six, four, port = '80'] = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(address) ?? [];
    const answer = await inside(from, 'sh', '-c', `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 1 ${six ?? four} ${port} || echo refused`);
    return answer.split('\n').at(-1)!;
  };
  const resolve = async (from: string, name: string) => {
    const found = await inside(from, 'nslookup', name);
    return [...found.matchAll(/^Address(?: \d+)?: ([0-9a-f.:]+)$/gm)]
      .map(match => match[1]!)
      .filter(address => !address.startsWith('127.0.0.11'));
  };
  const addressOf = (name: string, network: string, field = 'IPAddress') =>
    docker('inspect', '-f', `{{(index .NetworkSettings.Networks "${network}").${field}}}`, name);
  const fetchFrom = (url: string) =>
    promisify(execFile)('curl', ['-gsS', '--noproxy', '*', '--max-time', '2', url]).then(
      ({ stdout }) => stdout.trim(),
      (error: { code: number }) => `curl ${error.code}`,
    );
  const remove = (...names: string[]) => docker('rm', '-f', '-v', ...names);

  test('names, aliases, short ids and addresses are found; other networks are not reached', async () => {
    await docker('network', 'create', '--subnet', '10.230.1.0/24', '--ip-range', '10.230.1.64/26', '--gateway', '10.230.1.254', 'one');
    await docker('network', 'create', 'two');
    const id = await server('web', '--network', 'one', '--network-alias', 'www');
    await server('client', '--network', 'one', '--ip', '10.230.1.7', '--mac-address', '02:42:00:00:00:07');
    await server('far', '--network', 'two');
    const web = await addressOf('web', 'one');
    assert.equal(web, '10.230.1.64');
    for (const name of ['web', 'www', 'web.one', id.slice(0, 12)]) assert.deepEqual(await resolve('client', name), [web], name);
    await docker('rename', 'web', 'webb');
    assert.deepEqual(await resolve('client', 'webb'), [web]);
    await docker('rename', 'webb', 'web');
    assert.match(await inside('client', 'nslookup', web), /name = web\.one/);
    assert.equal(await page('client', web), 'web');
    assert.deepEqual(await resolve('client', 'far'), []);
    assert.equal(await page('client', await addressOf('far', 'two')), 'refused');
    assert.match(await inside('client', 'ip', 'addr', 'show', 'eth0'), /02:42:00:00:00:07[\s\S]*10\.230\.1\.7\/24/);
    assert.match(await inside('client', 'ip', 'route'), /default via 10\.230\.1\.254 dev eth0/);
    assert.equal(await inside('client', 'cat', '/etc/resolv.conf').then(text => text.split('\n')[0]), 'nameserver 127.0.0.11');
    assert.match(await inside('client', 'cat', '/etc/hosts'), /10\.230\.1\.7\tclient/);
    const [shown] = JSON.parse(await docker('network', 'inspect', 'one')) as [
      { Containers: Record<string, { Name: string; IPv4Address: string }> },
    ];
    assert.deepEqual(
      Object.values(shown.Containers)
        .map(({ Name, IPv4Address }) => `${Name} ${IPv4Address}`)
        .toSorted(),
      ['client 10.230.1.7/24', `web ${web}/24`],
    );
  });

  test('who waited for a container’s end takes its networks away at once', async () => {
    for (const name of ['left', 'right']) await host.must('POST', '/networks/create', { Name: name });
    const { Id } = await host.must<{ Id: string }>('POST', '/containers/create', {
      Image: 'busybox',
      Cmd: ['true'],
      HostConfig: { NetworkMode: 'left' },
      NetworkingConfig: { EndpointsConfig: { left: {}, right: {} } },
    });
    const ended = host.must('POST', `/containers/${Id}/wait?condition=next-exit`);
    await host.must('POST', `/containers/${Id}/start`);
    await ended;
    for (const name of ['right', 'left']) assert.equal((await host.api('DELETE', `/networks/${name}`)).status, 204);
    await host.must('DELETE', `/containers/${Id}`);
  });

  test('a running container joins another network and leaves it', async () => {
    await docker('network', 'connect', '--alias', 'inner', 'two', 'client');
    assert.equal(await page('client', await addressOf('far', 'two')), 'far');
    assert.deepEqual(await resolve('far', 'inner'), [await addressOf('client', 'two')]);
    assert.deepEqual(await resolve('client', 'far'), [await addressOf('far', 'two')]);
    assert.match(await inside('client', 'ip', 'route'), /default via 10\.230\.1\.254 dev eth0/);
    await fails(['network', 'connect', 'two', 'client'], /endpoint with name client already exists in network two/);
    await docker('network', 'disconnect', 'one', 'client');
    assert.match(await inside('client', 'ip', 'route'), /default via 172\.\d+\.0\.1 dev eth1/);
    await fails(['network', 'disconnect', 'one', 'client'], /is not connected to network one/);
    await docker('network', 'disconnect', 'two', 'client');
    assert.doesNotMatch(await inside('client', 'ip', '-o', 'link'), /eth[01]/);
    await fails(['network', 'rm', 'two'], /has active endpoints/);
    await remove('web', 'client', 'far');
    await docker('network', 'rm', 'one', 'two');
  });

  test('the default network: joined later, left and joined again, beside another network, with a hardware address of one’s own', async () => {
    const mac = '02:42:00:00:0b:0c';
    await server('old', '--mac-address', mac);
    assert.match(await inside('old', 'ip', 'link', 'show', 'eth0'), new RegExp(mac));
    assert.equal(await addressOf('old', 'bridge', 'MacAddress'), mac);
    await docker('network', 'create', 'alpha');
    await server('late', '--network', 'alpha');
    await docker('network', 'connect', 'bridge', 'late');
    const address = await addressOf('late', 'bridge');
    assert.equal(await page('old', address), 'late');
    assert.equal(await page('late', await addressOf('old', 'bridge')), 'old', 'the way to the default network is not the way out');
    await fails(['network', 'connect', 'bridge', 'late'], /already exists in network bridge/);
    await docker('network', 'disconnect', 'bridge', 'old');
    assert.doesNotMatch(await inside('old', 'ip', '-o', 'link'), /eth0/);
    await docker('network', 'connect', 'bridge', 'old');
    assert.equal(await page('late', await addressOf('old', 'bridge')), 'old');
    await docker('restart', '-t', '0', 'late');
    assert.equal(
      await until('the page', async () => ((await page('old', await addressOf('late', 'bridge'))) === 'late' ? 'late' : undefined)),
      'late',
    );
    await docker('network', 'disconnect', 'alpha', 'late');
    assert.match(await inside('late', 'ip', 'route'), /default via 10\.\S+ dev eth0/);
    assert.equal(readdirSync(join(host.cluster.dataDir, 'cni/lent')).length, 2);
    await remove('old', 'late');
    assert.deepEqual(readdirSync(join(host.cluster.dataDir, 'cni/lent')), []);
    await docker('network', 'rm', 'alpha');
  });

  test('starts, connects, disconnects, stops and removals side by side: whole or refused, and nothing stays', async () => {
    const ignored = (made: Promise<unknown>) => made.catch(() => {});
    for (const name of ['left', 'right']) await docker('network', 'create', name);
    const post = (path: string, body?: object) => host.must('POST', path, body);
    const run = async (n: number) => {
      const { Id } = await host.must<{ Id: string }>('POST', `/containers/create?name=race${n}`, {
        Image: 'busybox',
        Cmd: ['sleep', '1000'],
        HostConfig: { NetworkMode: n % 2 ? 'left' : 'bridge' },
      });
      const join = { Container: Id };
      await post('/networks/create', { Name: `gone${n}` });
      await Promise.all([
        post(`/containers/${Id}/start`),
        post('/networks/right/connect', join),
        n % 3 ? undefined : ignored(post('/networks/left/connect', join)),
      ]);
      const links = await inside(Id, 'ip', '-o', 'link');
      const { NetworkSettings } = await host.must<{ NetworkSettings: { Networks: Record<string, { IPAddress: string }> } }>(
        'GET',
        `/containers/${Id}/json`,
      );
      const networks = Object.values(NetworkSettings.Networks);
      assert.equal(links.match(/eth\d/g)?.length, networks.length, `${JSON.stringify(networks)}\n${links}`);
      assert.ok(
        networks.every(({ IPAddress }) => IPAddress !== ''),
        JSON.stringify(NetworkSettings.Networks),
      );
      await Promise.all([
        ignored(post('/networks/right/disconnect', join)),
        ignored(post(`/networks/gone${n}/connect`, join)),
        ignored(host.must('DELETE', `/networks/gone${n}`)),
      ]);
      const names = Object.keys(
        (await host.must<{ NetworkSettings: { Networks: object } }>('GET', `/containers/${Id}/json`)).NetworkSettings.Networks,
      );
      const isThere = (await host.api('GET', `/networks/gone${n}`)).status === 200;
      assert.equal(names.includes(`gone${n}`), isThere, 'a network that is gone has nobody, one that is joined stays');
      await Promise.all([ignored(post(`/networks/left/disconnect`, join)), ignored(post(`/containers/${Id}/stop?t=0`))]);
      await host.must('DELETE', `/containers/${Id}?force=1`);
    };
    await Promise.all([0, 1, 2, 3, 4, 5].map(run));
    const left = (await docker('network', 'ls', '-q', '--filter', 'type=custom')).split('\n').filter(id => id !== '');
    if (left.length > 0) await docker('network', 'rm', ...left);
    const prefix = endpointPrefix(host.cluster.name);
    await until('no links', async () => (readdirSync('/sys/class/net').some(name => name.startsWith(prefix)) ? undefined : true));
  });

  test('published ports follow a container from one network to another, and never lead to whoever has its address next', async () => {
    for (const name of ['from', 'into']) await docker('network', 'create', name);
    const port = host.cluster.hostPort(0);
    await server('mover', '--network', 'from', '-p', `${port}:80`);
    assert.equal(
      await until('the page', async () => ((await fetchFrom(`http://127.0.0.1:${port}/`)) === 'mover' ? 'mover' : undefined)),
      'mover',
    );
    const before = await addressOf('mover', 'from');
    await docker('network', 'connect', 'into', 'mover');
    await docker('network', 'disconnect', 'from', 'mover');
    await server('heir', '--network', 'from', '--ip', before);
    assert.equal(await fetchFrom(`http://127.0.0.1:${port}/`), 'mover');
    await docker('network', 'disconnect', 'into', 'mover');
    assert.match(await fetchFrom(`http://127.0.0.1:${port}/`), /^curl 7/);
    assert.equal(await docker('port', 'mover'), '');
    await docker('network', 'connect', 'into', 'mover');
    assert.equal(await fetchFrom(`http://127.0.0.1:${port}/`), 'mover');
    await remove('mover', 'heir');
    await docker('network', 'rm', 'from', 'into');
  });

  test('an internal network leads nowhere but to its own', async () => {
    await docker('network', 'create', '--internal', 'cell');
    await server('guard', '--network', 'cell');
    await server('prisoner', '--network', 'cell');
    const guard = await addressOf('guard', 'cell');
    assert.equal(await page('prisoner', guard), 'guard');
    assert.deepEqual(await resolve('prisoner', 'guard'), [guard]);
    assert.doesNotMatch(await inside('prisoner', 'ip', 'route'), /default/);
    assert.match(await inside('prisoner', 'nslookup', 'example.com'), /SERVFAIL|can't resolve|failed/);
    await remove('guard', 'prisoner');
    await docker('network', 'rm', 'cell');
  });

  test('published ports: from the machine, by name and address, from the container itself and from other networks; ranges, UDP, any', async () => {
    await docker('network', 'create', 'shop');
    const [open, local, first, last, udp] = [1, 2, 3, 8, 9].map(n => host.cluster.hostPort(n));
    await server('desk', '--network', 'shop', '-p', `${open}:80`, '-p', `127.0.0.1:${local}:80`, '-p', `${first}-${last}:80`);
    await server('visitor');
    const machine = Object.values(networkInterfaces())
      .flat()
      .find(each => each?.family === 'IPv4' && !each.internal && each.address !== '')!.address;
    for (const address of [`127.0.0.1:${open}`, `[::1]:${open}`, `${machine}:${open}`, `127.0.0.1:${local}`, `127.0.0.1:${first}`])
      assert.equal(await until(address, async () => ((await fetchFrom(`http://${address}/`)) === 'desk' ? 'desk' : undefined)), 'desk');
    assert.match(await fetchFrom(`http://${machine}:${local}/`), /^curl/);
    assert.equal(await page('desk', `${machine}:${open}`), 'desk', 'hairpin');
    assert.equal(await page('visitor', `${machine}:${open}`), 'desk', 'from another network');
    assert.deepEqual((await docker('port', 'desk')).split('\n').toSorted(), [
      `80/tcp -> 0.0.0.0:${open}`,
      `80/tcp -> 0.0.0.0:${first}`,
      `80/tcp -> 127.0.0.1:${local}`,
      `80/tcp -> [::]:${open}`,
      `80/tcp -> [::]:${first}`,
    ]);
    assert.match(await docker('ps', '--filter', 'name=desk', '--format', '{{.Ports}}'), new RegExp(`0\\.0\\.0\\.0:${open}->80/tcp`));
    await docker('run', '-d', '--name', 'echo', '-p', `${udp}:53/udp`, 'busybox', 'sleep', '1000');
    {
      using _server = await startEcho({
        path: await docker('inspect', '-f', '{{.NetworkSettings.SandboxKey}}', 'echo'),
        port: 53,
        text: 'echo',
      });
      for (const address of ['127.0.0.1', machine]) assert.match(askUdp(address, udp!), /^echo /, address);
    }
    await remove('desk', 'visitor', 'echo');
    await docker('network', 'rm', 'shop');
    assert.match(await fetchFrom(`http://127.0.0.1:${open}/`), /^curl 7/);
  });

  test('a container on the default network with published ports, and all that it exposes', async () => {
    await server('all', '-P', '--expose', '80', '--expose', '81-82/udp');
    const ports = (await docker('port', 'all')).split('\n');
    assert.equal(ports.length, 6);
    const port = /0\.0\.0\.0:(\d+)/.exec(ports.find(line => line.startsWith('80/tcp')) ?? '')?.[1];
    assert.equal(
      await until('the page', async () => ((await fetchFrom(`http://127.0.0.1:${port}/`)) === 'all' ? 'all' : undefined)),
      'all',
    );
    await remove('all');
  });

  test('a port that somebody has refuses the start in docker’s words, and nothing of it stays', async () => {
    const [had, free, elsewhere] = [10, 11, 12].map(n => host.cluster.hostPort(n));
    await server('first', '-p', `${had}:80`);
    await fails(
      ['run', '-d', '--name', 'second', '-p', `${free}:80`, '-p', `${had}:80`, 'busybox', 'sleep', '100'],
      new RegExp(
        String.raw`driver failed programming external connectivity on endpoint second \([0-9a-f]{64}\): Bind for 0\.0\.0\.0:${had} failed: port is already allocated`,
      ),
      125,
    );
    const taken = createServer().listen(elsewhere, '127.0.0.1');
    await once(taken, 'listening');
    await fails(
      ['run', '-d', '--name', 'third', '-p', `${elsewhere}:80`, 'busybox', 'sleep', '100'],
      new RegExp(`0\\.0\\.0\\.0:${elsewhere}.*address already in use`),
      125,
    );
    taken.close();
    await server('fourth', '-p', `${free}:80`);
    await remove('first', 'second', 'third', 'fourth');
  });

  test('a sandbox that somebody else stops gives back ports, names and addresses', { skip: crictl.missing ?? false }, async () => {
    await docker('network', 'create', 'cut');
    const port = host.cluster.hostPort(13);
    await server('short', '--network', 'cut', '-p', `${port}:80`);
    const sandbox = await docker('inspect', '-f', '{{.NetworkSettings.SandboxID}}', 'short');
    await promisify(execFile)(crictl.have ?? '', ['-r', `unix://${host.cluster.runDir}/cri.sock`, 'stopp', sandbox]);
    await docker('wait', 'short');
    await until('nobody in the network', async () =>
      (await docker('network', 'inspect', '-f', '{{len .Containers}}', 'cut')) === '0' ? true : undefined,
    );
    await server('heir', '--network', 'cut', '-p', `${port}:80`);
    assert.equal(
      await until('the page', async () => ((await fetchFrom(`http://127.0.0.1:${port}/`)) === 'heir' ? 'heir' : undefined)),
      'heir',
    );
    assert.deepEqual(await resolve('heir', 'short'), []);
    await remove('short', 'heir');
    await docker('network', 'rm', 'cut');
  });

  test('IPv6: addresses, names, ports', async () => {
    await docker('network', 'create', '--ipv6', '--subnet', 'fd00:ab::/64', 'six');
    const port = host.cluster.hostPort(14);
    await server('six1', '--network', 'six', '--ip6', 'fd00:ab::5', '-p', `${port}:80`);
    await server('six2', '--network', 'six');
    assert.equal(await page('six2', '[fd00:ab::5]'), 'six1');
    assert.deepEqual((await resolve('six2', 'six1')).toSorted(), [await addressOf('six1', 'six'), 'fd00:ab::5'].toSorted());
    for (const address of ['127.0.0.1', '[::1]', '[fd00:ab::1]'])
      assert.equal(await fetchFrom(`http://${address}:${port}/`), 'six1', address);
    assert.match(await inside('six2', 'ip', '-6', 'route'), /default via fd00:ab::1/);
    const linkLocal = ['--link-local-ip', '169.254.9.9', '--link-local-ip', 'fe80::99'];
    const addresses = await docker('run', '--rm', '--network', 'six', ...linkLocal, 'busybox', 'ip', '-o', 'addr', 'show', 'dev', 'eth0');
    for (const address of ['169.254.9.9/16', 'fe80::99/64']) assert.ok(addresses.includes(address), addresses);
    await remove('six1', 'six2');
    await docker('network', 'rm', 'six');
    const [own] = JSON.parse(await docker('network', 'inspect', await docker('network', 'create', '--ipv6', 'ula'))) as [
      { IPAM: { Config: { Subnet: string }[] } },
    ];
    assert.match(own.IPAM.Config[1]!.Subnet, /^fd[0-9a-f]{2}:.*::\/64$/);
    await docker('network', 'rm', 'ula');
  });

  test('many at once on one network: addresses of their own, and nothing stays', async () => {
    const network = await host.must<{ Id: string }>('POST', '/networks/create', { Name: 'crowd' });
    const run = async (n: number) => {
      const made = await host.must<{ Id: string }>('POST', `/containers/create?name=crowd${n}`, {
        Image: 'busybox',
        Cmd: ['sleep', '1000'],
        HostConfig: { NetworkMode: 'crowd', PublishAllPorts: true },
        ExposedPorts: { '80/tcp': {} },
      });
      await host.must('POST', `/containers/${made.Id}/start`);
      return made.Id;
    };
    const ids = await Promise.all(Array.from({ length: 20 }, (_, n) => run(n)));
    const { Containers } = await host.must<{ Containers: Record<string, { IPv4Address: string; MacAddress: string }> }>(
      'GET',
      `/networks/${network.Id}`,
    );
    const all = Object.values(Containers);
    assert.deepEqual(
      [all.length, new Set(all.map(each => each.IPv4Address)).size, new Set(all.map(each => each.MacAddress)).size],
      [20, 20, 20],
    );
    assert.deepEqual(await resolve('crowd3', 'crowd19'), [Containers[ids[19]!]!.IPv4Address.split('/')[0]]);
    await Promise.all(ids.map(id => host.must('DELETE', `/containers/${id}?force=1`)));
    await host.must('DELETE', `/networks/${network.Id}`);
  });

  test('hosts, servers, searches, options and links are what was asked for', async () => {
    await server('db');
    const text = await docker(
      'run', '--rm', '--add-host', 'here:host-gateway', '--add-host', 'there=192.0.2.9', '--dns', '192.0.2.53', '--dns-search', 'example.org',
      '--dns-opt', 'timeout:3', '--link', 'db:mysql', 'busybox', 'cat', '/etc/hosts', '/etc/resolv.conf',
    ); // biome-ignore format: an argument list
    assert.match(text, /^\d+\.\d+\.\d+\.\d+\there$/m);
    assert.match(text, /^192\.0\.2\.9\tthere$/m);
    assert.match(text, new RegExp(`^${(await addressOf('db', 'bridge')).replaceAll('.', '\\.')}\tmysql [0-9a-f]{12} db$`, 'm'));
    assert.match(text, /nameserver 192\.0\.2\.53\nsearch example\.org\noptions timeout:3/);
    await fails(['create', '--link', 'nobody:x', 'busybox'], /could not get container for nobody: No such container: nobody/);
    await docker('network', 'create', 'linked');
    await server('db2', '--network', 'linked');
    await server('app', '--network', 'linked', '--link', 'db2:mysql');
    assert.deepEqual(await resolve('app', 'mysql'), [await addressOf('db2', 'linked')]);
    await remove('db', 'db2', 'app');
    await docker('network', 'rm', 'linked');
  });

  test('after kill -9 of the agent names are found again, ports lead there, records stay', async () => {
    await docker('network', 'create', '--label', 'kept=yes', 'kept');
    const port = host.cluster.hostPort(15);
    await server('stay', '--network', 'kept', '-p', `${port}:80`);
    await server('asker', '--network', 'kept');
    await docker('network', 'create', 'second');
    await docker('network', 'connect', 'second', 'asker');
    await docker('network', 'connect', 'bridge', 'asker');
    const before = await docker('inspect', '-f', '{{json .NetworkSettings}}', 'asker');
    const stay = await addressOf('stay', 'kept');
    const netns = await docker('inspect', '-f', '{{.NetworkSettings.SandboxKey}}', 'asker');
    await host.killAgent();
    assert.equal(await fetchFrom(`http://127.0.0.1:${port}/`), 'stay', 'without an agent');
    const starting = host.startAgent();
    const { stdout } = await promisify(execFile)('nsenter', [`--net=${netns}`, process.execPath, '-e', ASK_AGAIN, 'stay'], {
      timeout: 20_000,
    });
    const [found, waitedMs] = stdout.trim().split(' ');
    await starting;
    assert.equal(found, stay);
    console.log(`# names again ${waitedMs} ms after the agent's start`);
    assert.equal(await docker('inspect', '-f', '{{json .NetworkSettings}}', 'asker'), before);
    assert.equal(await fetchFrom(`http://127.0.0.1:${port}/`), 'stay');
    await fails(['run', '--rm', '-p', `${port}:80`, 'busybox', 'true'], /port is already allocated/, 125);
    await docker('network', 'disconnect', 'second', 'asker');
    assert.doesNotMatch(await inside('asker', 'ip', '-o', 'link'), /eth1/);
    const pooled = await addressOf('asker', 'bridge');
    assert.match(await inside('asker', 'ip', 'addr', 'show', 'eth2'), new RegExp(`${pooled}/32`.replaceAll('.', '\\.')));
    await docker('network', 'disconnect', 'bridge', 'asker');
    assert.doesNotMatch(await inside('asker', 'ip', '-o', 'link'), /eth2/);
    await server('third', '--network', 'kept');
    assert.notEqual(await addressOf('third', 'kept'), await addressOf('stay', 'kept'));
    await remove('stay', 'asker', 'third');
    assert.match(await fetchFrom(`http://127.0.0.1:${port}/`), /^curl 7/);
    assert.equal(await docker('network', 'ls', '-q', '--filter', 'label=kept').then(ids => ids.split('\n').length), 1);
    await docker('network', 'rm', 'kept', 'second');
  });

  test('lists, filters, prune, and what is refused', async () => {
    await docker(
      'network',
      'create',
      '-o',
      'com.docker.network.bridge.name=utbr77',
      '-o',
      'com.docker.network.driver.mtu=1400',
      '--label',
      'a=b',
      'named',
    );
    assert.ok(existsSync('/sys/class/net/utbr77'));
    await fails(['network', 'create', 'named'], /network with name named already exists/);
    const pool = await docker('network', 'inspect', '-f', '{{(index .IPAM.Config 0).Subnet}}', 'named');
    await fails(['network', 'create', '--subnet', pool, 'x'], /Pool overlaps with other one on this address space/);
    await fails(['network', 'create', '-d', 'ipvlan', 'x'], /ipvlan/);
    await fails(['network', 'create', '-d', 'weave', 'x'], /plugin "weave" not found/);
    await fails(['network', 'rm', 'bridge'], /bridge is a pre-defined network and cannot be removed/);
    await fails(['network', 'inspect', 'nowhere'], /network nowhere not found/);
    await fails(['run', '--rm', '--network', 'nowhere', 'busybox', 'true'], /network nowhere not found/, 125);
    await fails(
      ['run', '--rm', '--ip', '10.1.1.1', 'busybox', 'true'],
      /user specified IP address is supported on user defined networks only|user configured subnets/,
      125,
    );
    const names = (...filter: string[]) => docker('network', 'ls', '--format', '{{.Name}}', ...filter.flatMap(each => ['--filter', each]));
    assert.equal(await names('label=a=b'), 'named');
    assert.equal(await names('driver=host'), 'host');
    assert.equal(await names('type=custom'), 'named');
    assert.equal(await names('name=^nam'), 'named');
    assert.equal(await names('dangling=true'), 'named');
    assert.equal((await names('scope=local')).split('\n').length, 4);
    const [bridge] = JSON.parse(await docker('network', 'inspect', 'bridge')) as [{ IPAM: { Config: { Gateway: string }[] } }];
    assert.match(bridge.IPAM.Config[0]!.Gateway, /^\d+\.\d+\.\d+\.1$/);
    assert.match(await docker('network', 'prune', '-f'), /named/);
    assert.ok(!existsSync('/sys/class/net/utbr77'));
    assert.deepEqual((await names()).split('\n').toSorted(), ['bridge', 'host', 'none']);
    assert.deepEqual(readdirSync(join(host.cluster.dataDir, 'docker/networks')), []);
  });
});
