import assert from 'node:assert/strict';
import { test } from 'node:test';
import { capacityFor, type HostPortRule, planServiceChange, type Rule, type ServiceRule } from './nft-rules.ts';

const at = (address: string, isLocal = false) => ({ address, port: 8080, isLocal });
const web = (endpoints: ReturnType<typeof at>[], more: Partial<ServiceRule> = {}, nodePort?: number): ServiceRule => ({
  id: 'default/web',
  addresses: ['10.43.0.7'],
  ports: [{ protocol: 'tcp', port: 80, endpoints, ...(nodePort && { nodePort }) }],
  ...more,
});
const published: HostPortRule = { id: 'p', protocol: 'udp', hostPort: 53, address: '10.42.0.9', port: 5353 };

const cases: [string, Rule | undefined, Rule | undefined, string[]][] = [
  ['nothing', undefined, undefined, []],
  ['the same, in another order', web([at('10.42.0.2'), at('10.42.0.3')]), web([at('10.42.0.3'), at('10.42.0.2')]), []],
  ['headless', undefined, web([at('10.42.0.2')], { addresses: [] }), []],
  ['without endpoints it refuses', undefined, web([]), ['add element ip t unserved { 10.43.0.7 . tcp . 80 }']],
  [
    'a first endpoint',
    web([]),
    web([at('10.42.0.2')]),
    [
      'delete element ip t unserved { 10.43.0.7 . tcp . 80 }',
      'add element ip t services { 10.43.0.7 . tcp . 80 : goto pick-1 }',
      'add element ip t endpoints { 10.43.0.7 . tcp . 80 . 0 : 10.42.0.2 . 8080 }',
    ],
  ],
  [
    'an endpoint replaced: one element',
    web([at('10.42.0.2'), at('10.42.0.3')]),
    web([at('10.42.0.2'), at('10.42.0.4')]),
    [
      'delete element ip t endpoints { 10.43.0.7 . tcp . 80 . 1 }',
      'add element ip t endpoints { 10.43.0.7 . tcp . 80 . 1 : 10.42.0.4 . 8080 }',
    ],
  ],
  [
    'a node port for local endpoints, of which there are none',
    web([at('10.42.0.2')]),
    web([at('10.42.0.2')], { externalPolicyLocal: true }, 30080),
    ['add element ip t unserved-node-ports { tcp . 30080 }'],
  ],
  [
    'a node port',
    web([at('10.42.0.2')]),
    web([at('10.42.0.2', true)], { externalPolicyLocal: true }, 30080),
    [
      'add element ip t node-ports { tcp . 30080 : goto node-pick-1 }',
      'add element ip t node-endpoints { tcp . 30080 . 0 : 10.42.0.2 . 8080 }',
    ],
  ],
  [
    'session affinity',
    web([at('10.42.0.2')]),
    web([at('10.42.0.2')], { isSticky: true }),
    ['delete element ip t services { 10.43.0.7 . tcp . 80 }', 'add element ip t services { 10.43.0.7 . tcp . 80 : goto stick-1 }'],
  ],
  ['a published port', undefined, published, ['add element ip t host-ports { udp . 53 : 10.42.0.9 . 5353 }']],
  [
    'a published port on one address',
    published,
    { ...published, hostIp: '127.0.0.1' },
    ['delete element ip t host-ports { udp . 53 }', 'add element ip t host-ip-ports { 127.0.0.1 . udp . 53 : 10.42.0.9 . 5353 }'],
  ],
];

for (const [name, before, after, expected] of cases)
  test(`change: ${name}`, () => assert.deepEqual(planServiceChange('t', before, after).split('\n').filter(Boolean), expected));

test('capacity grows by powers of two and never shrinks', () => {
  const many = web(Array.from({ length: 17 }, (_, n) => at(`10.42.1.${n}`)));
  assert.deepEqual(capacityFor([web([])]), { random: 16, sticky: 0 });
  assert.deepEqual(capacityFor([many]), { random: 32, sticky: 0 });
  assert.deepEqual(capacityFor([{ ...many, isSticky: true }], { random: 64, sticky: 0 }), { random: 64, sticky: 32 });
});
