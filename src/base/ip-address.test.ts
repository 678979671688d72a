import assert from 'node:assert/strict';
import test from 'node:test';
import {
  bytesOfIp,
  formatIp,
  formatIpNetwork,
  ipOfBytes,
  lastOf,
  networkContains,
  networksOverlap,
  parseIp,
  parseIpNetwork,
} from './ip-address.ts';

test('addresses are read and written in their usual spelling', () => {
  const cases: [text: string, canonical: string | undefined][] = [
    ['10.0.0.1', '10.0.0.1'],
    ['255.255.255.255', '255.255.255.255'],
    ['10.0.0.256', undefined],
    ['010.0.0.1', undefined],
    ['::', '::'],
    ['::1', '::1'],
    ['fd00:0:0:1::5', 'fd00:0:0:1::5'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1:0:0:0:2:0:0:0', '1::2:0:0:0'],
    ['1:0:0:2:0:0:0:0', '1:0:0:2::'],
    ['10:0:0:2::', '10:0:0:2::'],
    ['::ffff:1.2.3.4', '::ffff:102:304'],
    ['fe80::1%eth0', undefined],
    ['web', undefined],
  ];
  for (const [text, canonical] of cases) {
    const parsed = parseIp(text);
    assert.equal(parsed && formatIp(parsed), canonical, text);
    if (parsed) assert.equal(ipOfBytes(bytesOfIp(text)), canonical);
  }
});

test('networks contain and overlap', () => {
  const network = parseIpNetwork('172.18.5.9/16')!;
  assert.equal(formatIpNetwork(network), '172.18.0.0/16');
  assert.equal(formatIp({ family: 4, value: lastOf(network) }), '172.18.255.255');
  assert.ok(networkContains(network, parseIp('172.18.7.7')!));
  assert.ok(!networkContains(network, parseIp('172.19.0.0')!));
  assert.ok(networksOverlap(network, parseIpNetwork('172.16.0.0/12')!));
  assert.ok(!networksOverlap(network, parseIpNetwork('172.19.0.0/16')!));
  assert.ok(!networksOverlap(parseIpNetwork('::/0')!, parseIpNetwork('0.0.0.0/0')!));
  assert.equal(formatIpNetwork(parseIpNetwork('fd00::5/64')!), 'fd00::/64');
  for (const bad of ['10.0.0.0', '10.0.0.0/33', 'fd00::/129', 'x/8', '']) assert.equal(parseIpNetwork(bad), undefined, bad);
});
