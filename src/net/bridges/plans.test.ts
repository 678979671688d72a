import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linkLocalOf, macOfAddress, parseMac } from '../hardware.ts';
import { planAddress, planGateway } from './address-plan.ts';
import { linksByAdvertisement } from './advertised-routes.ts';
import { type PublishedRule, planPublishing } from './bridge-rules.ts';
import { bridgeLinkName, endpointLinkName, isLinkName } from './link-names.ts';
import { DEFAULT_POOLS, overlapWith, planIpv6Subnet, planSubnet } from './subnets.ts';

test('a subnet overlaps with nothing that is taken, in the order of the pools', () => {
  const all16 = DEFAULT_POOLS.flatMap(({ base, size }) => (size === 16 ? [base] : []));
  const cases: [taken: string[], subnet: string][] = [
    [[], '172.18.0.0/16'],
    [['172.18.0.0/16'], '172.19.0.0/16'],
    [['172.18.5.0/24', '10.42.0.0/16'], '172.19.0.0/16'],
    [['172.16.0.0/12'], '192.168.0.0/20'],
    [[...all16, '192.168.16.0/24', '192.168.1.1/32'], '192.168.32.0/20'],
  ];
  for (const [taken, subnet] of cases) assert.equal(planSubnet(taken), subnet, taken.join());
  assert.throws(() => planSubnet(['172.16.0.0/12', '192.168.0.0/16']), /all predefined address pools have been fully subnetted/);
  const first = planIpv6Subnet([], 'machine');
  assert.match(first, /^fd[0-9a-f]{2}:[0-9a-f:]+::\/64$/);
  assert.notEqual(planIpv6Subnet([first], 'machine'), first);
  assert.equal(overlapWith('10.1.0.0/16', ['10.0.0.0/16', '10.1.128.0/17']), '10.1.128.0/17');
  assert.equal(overlapWith('10.1.0.0/16', ['10.0.0.0/16', 'fd00::/8']), undefined);
});

test('addresses: the lowest free one, within the range, or the one that is wanted', () => {
  const space = { subnet: '172.18.0.0/16', reserved: ['172.18.0.1'] };
  assert.equal(planGateway('172.18.0.0/16'), '172.18.0.1');
  assert.equal(planGateway('fd00::/64'), 'fd00::1');
  assert.equal(planAddress(space, new Set()), '172.18.0.2');
  assert.equal(planAddress(space, new Set(['172.18.0.2', '172.18.0.4'])), '172.18.0.3');
  assert.equal(planAddress({ ...space, range: '172.18.5.0/24' }, new Set()), '172.18.5.0');
  assert.equal(planAddress(space, new Set(), '172.18.9.9'), '172.18.9.9');
  assert.throws(() => planAddress(space, new Set(['172.18.9.9']), '172.18.9.9'), /Address already in use/);
  assert.throws(() => planAddress(space, new Set(), '172.18.0.1'), /Address already in use/);
  assert.throws(() => planAddress(space, new Set(), '10.0.0.1'), /does not belong to any of this network's subnets/);
  const small = { subnet: '10.0.0.0/30', reserved: ['10.0.0.1'] };
  assert.equal(planAddress(small, new Set()), '10.0.0.2');
  assert.throws(() => planAddress(small, new Set(['10.0.0.2'])), /no available IPv4 addresses on this network's address pools/);
});

test('names and hardware addresses', () => {
  assert.equal(bridgeLinkName('umiak', '0123456789abcdef'), 'umiak-012345678');
  assert.equal(bridgeLinkName('a-long-instance', '0123456789abcdef'), 'a-long-01234567');
  assert.equal(endpointLinkName('umiak', '0123456789abcdef').length, 15);
  assert.equal(macOfAddress('172.18.0.2'), '02:42:ac:12:00:02');
  assert.equal(linkLocalOf('02:42:ac:12:00:02'), 'fe80::42:acff:fe12:2');
  assert.equal(parseMac('02-42-AC-12-00-02'), '02:42:ac:12:00:02');
  assert.equal(parseMac('02:42'), undefined);
  assert.deepEqual(['br0', 'a/b', 'a b', '..', '', 'x'.repeat(16)].map(isLinkName), [true, false, false, false, false, false]);
});

test('published ports change by elements of maps alone', () => {
  const web: PublishedRule = { protocol: 'tcp', hostPort: 8080, address: '172.18.0.2', port: 80 };
  assert.equal(planPublishing('t', [], []), '');
  assert.equal(planPublishing('t', [], [web]), 'add element inet t published4 { tcp . 8080 : 172.18.0.2 . 80 }\n');
  assert.equal(
    planPublishing('t', [web], [{ ...web, hostIp: '127.0.0.1' }]),
    'delete element inet t published4 { tcp . 8080 }\nadd element inet t published-at4 { 127.0.0.1 . tcp . 8080 : 172.18.0.2 . 80 }\n',
  );
  assert.match(planPublishing('t', [], [{ ...web, address: 'fd00::2' }]), /published6 \{ tcp \. 8080 : fd00::2 \. 80 \}/);
});

test('links that have their way out from a router’s advertisement', () => {
  const [any, router] = ['0'.repeat(32), `fe80${'0'.repeat(27)}1`];
  const line = (to: string, length: string, via: string, flags: string, link: string) =>
    `${to} ${length} ${any} 00 ${via} 00000400 00000001 00000000 ${flags} ${link.padStart(8)}\n`;
  const routes = [
    line('fd'.padEnd(32, '0'), '40', any, '00040001', 'eth0'), // the prefix that was advertised too
    line(any, '00', router, '00450003', 'eth0'),
    line(any, '00', `fe80${'0'.repeat(27)}2`, '00450003', 'eth0'),
    line(any, '00', router, '00000003', 'eth1'), // somebody set it
    line(any, '00', any, '00200200', 'lo'),
  ];
  assert.deepEqual(linksByAdvertisement(routes.join('')), ['eth0']);
  assert.deepEqual(linksByAdvertisement(''), []);
});
