import assert from 'node:assert/strict';
import { test } from 'node:test';
import { capacityFor, suffices } from './nft-rules.ts';
import { planServiceChange } from './rule-elements.ts';
import type { HostPortRule, Rule, ServiceRule } from './rules.ts';

const at = (address: string) => ({ address, port: 8080 });
interface Ports {
  nodePort?: number;
  localEndpoints?: ReturnType<typeof at>[];
}
const web = (endpoints: ReturnType<typeof at>[], more: Partial<ServiceRule> = {}, ports: Ports = {}): ServiceRule => ({
  id: 'default/web',
  addresses: ['10.43.0.7'],
  ports: [{ protocol: 'tcp', port: 80, endpoints, ...ports }],
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
    'a node port',
    web([at('10.42.0.2')]),
    web([at('10.42.0.2')], {}, { nodePort: 30080 }),
    [
      'add element ip t node-ports { tcp . 30080 : goto node-pick-1 }',
      'add element ip t node-endpoints { tcp . 30080 . 0 : 10.42.0.2 . 8080 }',
    ],
  ],
  [
    'a node port that leads those outside to local endpoints, of which there are none',
    web([at('10.42.0.2')], {}, { nodePort: 30080 }),
    web([at('10.42.0.2')], { externalPolicyLocal: true }, { nodePort: 30080, localEndpoints: [] }),
    ['add element ip t outside-node-ports { tcp . 30080 : drop }'],
  ],
  [
    'an external address that leads those outside to local endpoints',
    web([at('10.42.0.2'), at('10.42.1.2')]),
    web(
      [at('10.42.0.2'), at('10.42.1.2')],
      { externalAddresses: ['192.0.2.7'], externalPolicyLocal: true },
      { localEndpoints: [at('10.42.1.2')] },
    ),
    [
      'add element ip t services { 192.0.2.7 . tcp . 80 : goto pick-2 }',
      'add element ip t outside-services { 192.0.2.7 . tcp . 80 : goto local-pick-1 }',
      'add element ip t endpoints { 192.0.2.7 . tcp . 80 . 0 : 10.42.0.2 . 8080, 192.0.2.7 . tcp . 80 . 1 : 10.42.1.2 . 8080, 192.0.2.7 . tcp . 80 . 32768 : 10.42.1.2 . 8080 }',
    ],
  ],
  [
    'an address for those inside that leads to local endpoints, of which there are none',
    web([at('10.42.0.2')]),
    web([at('10.42.0.2')], { internalPolicyLocal: true }, { localEndpoints: [] }),
    [
      'delete element ip t services { 10.43.0.7 . tcp . 80 }',
      'delete element ip t endpoints { 10.43.0.7 . tcp . 80 . 0 }',
      'add element ip t services { 10.43.0.7 . tcp . 80 : drop }',
    ],
  ],
  [
    'a local policy where there is no endpoint anywhere refuses',
    undefined,
    web([], { internalPolicyLocal: true, externalPolicyLocal: true }, { nodePort: 30080, localEndpoints: [] }),
    ['add element ip t unserved { 10.43.0.7 . tcp . 80 }', 'add element ip t unserved-node-ports { tcp . 30080 }'],
  ],
  [
    'session affinity',
    web([at('10.42.0.2')]),
    web([at('10.42.0.2')], { affinitySeconds: 10 }),
    [
      'delete element ip t services { 10.43.0.7 . tcp . 80 }',
      'add element ip t services { 10.43.0.7 . tcp . 80 : goto stick-1 }',
      'add element ip t remembered { 10.43.0.7 . tcp . 80 : goto remember-10 }',
    ],
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
  const local = {
    ...many,
    externalPolicyLocal: true,
    ports: many.ports.map(port => ({ ...port, localEndpoints: port.endpoints.slice(0, 3) })),
  };
  const none = { random: 16, sticky: 0, local: 0, timeouts: [] };
  assert.deepEqual(capacityFor([web([])]), none);
  assert.deepEqual(capacityFor([many]), { ...none, random: 32 });
  assert.deepEqual(capacityFor([local]), { ...none, random: 32, local: 16 });
  const sticky = capacityFor([{ ...many, affinitySeconds: 60 }], { ...none, random: 64, timeouts: [10] });
  assert.deepEqual(sticky, { random: 64, sticky: 32, local: 0, timeouts: [10, 60] });
  assert.equal(suffices(sticky, capacityFor([{ ...many, affinitySeconds: 10 }])), true);
  assert.equal(suffices(sticky, capacityFor([{ ...many, affinitySeconds: 20 }])), false);
  assert.equal(suffices(sticky, capacityFor([local])), false);
});
