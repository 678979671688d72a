import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { derivedAddresses, joinAddress, readConfig, toEnvironment } from './config.ts';

test('a flag wins over the variable, the variable over the file, the file over the default', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'umiak-config-'));
  try {
    const file = join(directory, 'config.yaml');
    writeFileSync(
      file,
      'podCidr: 10.1.0.0/16\nserviceCidr: 10.2.0.0/16\nname: filed\ninsecureRegistries: [a:5000, b]\ncniBinDirs: [/opt/a, /opt/b]\n',
    );
    const config = await readConfig({ config: file, name: 'flagged' }, { UMIAK_SERVICE_CIDR: '10.3.0.0/16', UMIAK_NAME: 'varied' });
    assert.equal(config.name, 'flagged');
    assert.equal(config.serviceCidr, '10.3.0.0/16');
    assert.equal(config.podCidr, '10.1.0.0/16');
    assert.deepEqual(config.insecureRegistries, ['a:5000', 'b']);
    assert.deepEqual(config.cniBinDirs, ['/opt/a', '/opt/b']);
    assert.deepEqual(config.apiAddress, { host: '127.0.0.1', port: 6443 });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a child process with the environment has the same configuration', async () => {
  const config = await readConfig(
    { name: 'two', apiAddress: '[::1]:7443', nodePortRange: '31000-31099', insecureRegistries: 'a,b', maxLayerBytes: '20000000000' },
    {},
  );
  assert.deepEqual(await readConfig({}, toEnvironment(config)), config);
  assert.equal(joinAddress(config.apiAddress), '[::1]:7443');
  assert.equal(config.maxLayerBytes, 20e9);
  await assert.rejects(readConfig({ maxLayerBytes: '20GB' }, {}), /maxLayerBytes.*whole number/);
});

test('addresses that follow from the networks', async () => {
  const config = await readConfig({ podCidr: '10.9.0.0/16', serviceCidr: '10.8.0.0/20' }, {});
  assert.deepEqual(derivedAddresses(config), { gateway: '10.9.0.1', kubernetesService: '10.8.0.1', dnsService: '10.8.0.10' });
});

test('runtime handlers stand in the file as a map, beside those that need no word', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'umiak-config-'));
  try {
    const file = join(directory, 'config.yaml');
    writeFileSync(
      file,
      'runtime: fast\nruntimes:\n  fast: { type: crun, path: /opt/crun }\n  gvisor:\n    type: runsc\n    args: [--platform=systrap]\n',
    );
    const config = await readConfig({ config: file }, {});
    assert.equal(config.runtime, 'fast');
    assert.deepEqual(Object.keys(config.runtimes), ['crun', 'runc', 'runsc', 'fast', 'gvisor']);
    assert.deepEqual(config.runtimes.gvisor, { type: 'runsc', args: ['--platform=systrap'] });
    assert.deepEqual((await readConfig({}, toEnvironment(config))).runtimes, config.runtimes);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('docker’s other places: a socket, an address with TLS, loopback without', async () => {
  const none = await readConfig({}, {});
  assert.deepEqual(none.docker, { socketPath: undefined, tcp: undefined });
  const files = { dockerTlsCert: '/c', dockerTlsKey: '/k', dockerTlsClientCa: '/a' };
  const tls = await readConfig({ dockerSocket: '/var/run/docker.sock', dockerAddress: '0.0.0.0:2376', ...files }, {});
  assert.deepEqual(tls.docker, {
    socketPath: '/var/run/docker.sock',
    tcp: { host: '0.0.0.0', port: 2376, tls: { certificate: '/c', key: '/k', clientCa: '/a' } },
  });
  assert.deepEqual(await readConfig({}, toEnvironment(tls)), tls);
  const plain = await readConfig({ dockerAddress: '127.0.0.1:2375', dockerPlain: 'loopback' }, {});
  assert.deepEqual(plain.docker.tcp, { host: '127.0.0.1', port: 2375 });
  assert.deepEqual(await readConfig({}, toEnvironment(plain)), plain);
});

const refused: [flags: Record<string, string>, message: RegExp][] = [
  [{ name: 'Bad-Name' }, /name must be 1 to 10 lower-case letters/],
  [{ podCidr: '10.0.0.0/30' }, /podCidr must be a network of \/24 or larger/],
  [{ podCidr: '10.43.0.0/16' }, /serviceCidr must not overlap/],
  [{ podCidr: 'nonsense' }, /no IPv4 network/],
  [{ apiAddress: 'localhost' }, /apiAddress must be HOST:PORT/],
  [{ apiAddress: '127.0.0.1:99999' }, /apiAddress must be HOST:PORT/],
  [{ nodePortRange: '2000-1000' }, /nodePortRange must be FIRST-LAST/],
  [{ loadBalancerPool: '192.0.2.0/8' }, /loadBalancerPool must be IPv4 addresses and networks of \/22 or smaller/],
  [{ runtime: 'podman' }, /runtime must be one of crun, runc, runsc, not "podman"/],
  [{ runtimes: 'kata' }, /runtimes must be a map, written as JSON/],
  [{ runtimes: '{"Kata":{}}' }, /runtimes\.Kata must be named by a DNS label/],
  [{ runtimes: '{"kata":{"type":"vm"}}' }, /runtimes\.kata\.type must be one of crun, runc, runsc, oci/],
  [{ runtimes: '{"kata":{"type":"oci"}}' }, /runtimes\.kata\.path is required/],
  [{ runtimes: '{"kata":{"type":"oci","path":"kata"}}' }, /runtimes\.kata\.path must be an absolute path/],
  [{ runtimes: '{"own":{"type":"runc","root":"/x"}}' }, /runtimes\.own\.root is unknown/],
  [{ runtimes: '{"own":{"type":"runc","args":["--root=/x"]}}' }, /runtimes\.own\.args must not have --root/],
  [{ dockerAddress: '0.0.0.0:2375' }, /dockerTlsCert must name a file/],
  [{ dockerAddress: '0.0.0.0:2376', dockerTlsCert: '/c', dockerTlsKey: '/k' }, /dockerTlsClientCa must name a file/],
  [{ dockerAddress: '0.0.0.0:2375', dockerPlain: 'loopback' }, /dockerPlain goes with a loopback address only/],
  [{ dockerAddress: '127.0.0.1:2375', dockerPlain: 'loopback', dockerTlsKey: '/k' }, /dockerPlain must be no/],
  [{ dockerTlsKey: '/k' }, /dockerTlsKey needs dockerAddress/],
  [{ config: '/does/not/exist.yaml' }, /does not exist/],
];
for (const [flags, message] of refused) {
  test(`refused: ${JSON.stringify(flags)}`, () => assert.rejects(readConfig(flags, {}), { message }));
}

test('an unknown setting in the file is named with those there are', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'umiak-config-'));
  try {
    writeFileSync(join(directory, 'c.yaml'), 'podCidrs: x\n');
    await assert.rejects(readConfig({ config: join(directory, 'c.yaml') }, {}), /podCidrs is no setting; there are name, dataDir/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a pool of addresses is written as addresses and networks', async () => {
  const { loadBalancerPool } = await readConfig({ loadBalancerPool: '192.0.2.9, 198.51.100.4/31,192.0.2.9' }, {});
  assert.deepEqual(loadBalancerPool, ['192.0.2.9', '198.51.100.4', '198.51.100.5']);
  assert.deepEqual((await readConfig({}, {})).loadBalancerPool, []);
});
