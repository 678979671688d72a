import assert from 'node:assert/strict';
import type { NetworkInterfaceInfo } from 'node:os';
import { describe, test } from 'node:test';
import { type DefaultRoute, hostAddressOf, planHostAddress } from './host-address.ts';

const at = (address: string, internal = false) =>
  ({ address, internal, family: address.includes(':') ? 'IPv6' : 'IPv4' }) as NetworkInterfaceInfo;
const LO = { lo: [at('127.0.0.1', true)] };
const ETH0 = { eth0: [at('fe80::1'), at('192.0.2.7')] };
const ETH1 = { eth1: [at('198.51.100.7')] };
const DOCKER = { docker0: [at('172.17.0.1')] };
const BRIDGE = { umiak0: [at('10.42.0.1')] };
const via = (link: string, metric = 0, source?: string): DefaultRoute => ({ link, metric, source });

describe("the machine's address", () => {
  const table: [what: string, routes: DefaultRoute[], interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>, expected: string][] = [
    ["the default route's link", [via('eth1')], { ...LO, ...ETH0, ...ETH1 }, '198.51.100.7'],
    ['of two routes the better', [via('eth1', 200), via('eth0', 100)], { ...ETH0, ...ETH1 }, '192.0.2.7'],
    ['the source that the route says', [via('eth0', 0, '192.0.2.99')], ETH0, '192.0.2.99'],
    ['a route whose link has no address', [via('tun0'), via('eth1', 5)], { tun0: [], ...ETH1 }, '198.51.100.7'],
    ['no route: the first that is not loopback', [], { ...LO, ...ETH0, ...ETH1 }, '192.0.2.7'],
    ['no route: not a bridge for containers', [], { ...LO, ...DOCKER, ...BRIDGE, ...ETH1 }, '198.51.100.7'],
    ['a machine that is alone: the gateway', [], { ...LO, ...DOCKER, ...BRIDGE }, '10.42.0.1'],
    ['a bridge by another name is not taken for the machine', [], { ...LO, test0: [at('10.42.0.1')] }, '10.42.0.1'],
    ['IPv6 alone', [], { ...LO, eth0: [at('2001:db8::1')] }, '10.42.0.1'],
  ];
  for (const [what, routes, interfaces, expected] of table)
    test(what, () => assert.equal(planHostAddress({ routes, interfaces, gateway: '10.42.0.1' }), expected));
});

test('this very machine has one', () => assert.match(hostAddressOf('192.0.2.1'), /^\d+\.\d+\.\d+\.\d+$/));
