import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { findNetwork, parseNetworkConfig } from './network-config.ts';
import { planEnvironment } from './plan-request.ts';
import { addressesOf, parseResult, toVersion } from './result.ts';
import { TestPlugins } from './test-plugins.ts';

test('the first valid file in lexical order counts; a single plugin is a list of one; others say why not', () => {
  using machine = new TestPlugins();
  const plugin = { cniVersion: '0.4.0', name: 'single', type: 'bridge' };
  machine.network('10-other.txt', { name: 'no' });
  machine.network('20-bad.conflist', { cniVersion: '1.0.0', name: '../up', plugins: [{ type: 'x' }] });
  machine.network('30-single.conf', plugin);
  machine.network('40-list.conflist', { cniVersion: '1.0.0', name: 'late', plugins: [{ type: 'x' }] });
  const { network, refused } = findNetwork(machine.confDir);
  assert.equal(network?.list.name, 'single');
  assert.deepEqual(network?.list.plugins, [plugin]);
  assert.match(refused[0]?.message ?? '', /^name must begin with a letter or digit.* not "..\/up"$/);
  assert.deepEqual(findNetwork(`${machine.confDir}/none`), { refused: [] });
});

test('what is no file holds nobody up', { timeout: 10_000 }, () => {
  using machine = new TestPlugins();
  execFileSync('mkfifo', [join(machine.confDir, '10-fifo.conf')]);
  assert.match(findNetwork(machine.confDir).refused[0]?.message ?? '', /10-fifo.conf is no file/);
});

test('what is wrong in a configuration is named', () => {
  const of = (config: object) => () => parseNetworkConfig(JSON.stringify(config), { isList: true });
  const good = { cniVersion: '1.0.0', name: 'n', plugins: [{ type: 'x' }] };
  assert.equal(of({ ...good, cniVersions: ['0.4.0', '1.1.0', '9.0.0'] })().cniVersion, '1.1.0', 'the newest that both know');
  assert.equal(of({ ...good, disableCheck: 'true' })().disableCheck, true);
  for (const [change, message] of [
    [{ cniVersion: undefined }, /cniVersion is missing; it must be one of 0.3.0/],
    [{ cniVersion: '2.0.0' }, /cniVersion is 2.0.0; it must be one of/],
    [{ plugins: 'x' }, /plugins must be a list of at most 64/],
    [{ plugins: [{}] }, /plugins\[0\].type must be the name of a plugin's program, not nothing/],
    [{ plugins: [{ type: '../sh' }] }, /plugins\[0\].type must be/],
    [{ plugins: [{ type: 'x', capabilities: [] }] }, /plugins\[0\].capabilities must be an object/],
    [{ disableGC: 1 }, /disableGC must be true or false, not 1/],
  ] as const)
    assert.throws(of({ ...good, ...change }), { reason: 'Invalid', message });
});

test('results between versions', () => {
  const result = {
    cniVersion: '1.1.0',
    interfaces: [{ name: 'eth0', mtu: 1400, sandbox: '/n' }],
    ips: [{ address: 'fd00::2/64', interface: 0 }],
  };
  const old = toVersion(result, '0.4.0');
  assert.deepEqual(old, {
    cniVersion: '0.4.0',
    interfaces: [{ name: 'eth0', sandbox: '/n' }],
    ips: [{ version: '6', address: 'fd00::2/64', interface: 0 }],
  });
  assert.deepEqual(toVersion(old, '1.0.0').ips, [{ address: 'fd00::2/64', interface: 0 }]);
  assert.equal(parseResult(''), undefined);
  assert.throws(() => parseResult('[]'), /no JSON object/);
  assert.throws(() => parseResult('{}'), /no cniVersion/);
  const ips = [{ address: '10.0.0.2/24', interface: 1 }, { address: '10.0.0.1/24', interface: 0 }, { address: 'fd00::2/64' }];
  assert.deepEqual(addressesOf({ cniVersion: '1.0.0', interfaces: [{ name: 'br0' }, { name: 'eth0', sandbox: '/n' }], ips }), [
    '10.0.0.2',
    'fd00::2',
  ]);
});

test('a plugin gets our environment without what others told us, and arguments that can not be forged', () => {
  const attachment = { containerId: 'c', netns: '/n', ifName: 'eth0', args: [['K8S_POD_NAME', 'a;B=c']] as const, capabilityArgs: {} };
  const env = planEnvironment('ADD', { attachment, binDirs: ['/a', '/b'], base: { LANG: 'C', CNI_PATH: '/evil', CNI_OTHER: 'x' } });
  assert.deepEqual([env.LANG, env.CNI_PATH, env.CNI_OTHER, env.CNI_ARGS], ['C', '/a:/b', undefined, 'K8S_POD_NAME=a,B=c']);
});
