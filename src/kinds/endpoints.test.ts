import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Endpoints } from './core.ts';
import { EndpointSlice } from './endpoint-slice.ts';
import { made, problemsOf } from './testing.ts';

const wrong: [why: string, subset: object, problems: string[]][] = [
  ['a port and an address', { addresses: [{ ip: '10.0.0.1' }], ports: [{ port: 80 }] }, []],
  ['only what is not ready', { notReadyAddresses: [{ ip: 'fd00::1' }] }, []],
  ['no address', { ports: [{ port: 80 }] }, ['subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`']],
  [
    'no IP address',
    { addresses: [{ ip: 'host' }] },
    ['subsets[0].addresses[0].ip: Invalid value: "host": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
  ],
  [
    'the loopback',
    { addresses: [{ ip: '127.0.0.1' }] },
    ['subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'],
  ],
  [
    'a link-local address',
    { notReadyAddresses: [{ ip: 'fe80::1' }] },
    ['subsets[0].notReadyAddresses[0].ip: Invalid value: "fe80::1": may not be in the link-local range (169.254.0.0/16, fe80::/10)'],
  ],
  [
    'two ports, one without a name',
    { addresses: [{ ip: '10.0.0.1' }], ports: [{ name: 'a', port: 1 }, { port: 2 }] },
    ['subsets[0].ports[1].name: Required value'],
  ],
  [
    'a port out of range and a protocol of nobody',
    { addresses: [{ ip: '10.0.0.1' }], ports: [{ port: 70_000, protocol: 'X' }] },
    [
      'subsets[0].ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive',
      'subsets[0].ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
    ],
  ],
];
for (const [why, subset, problems] of wrong)
  test(`endpoints: ${why}`, () => assert.deepEqual(problemsOf(Endpoints, { subsets: [subset] }), problems));

test('endpoints: a port speaks TCP unless it says otherwise', () => {
  const { subsets } = made(Endpoints, { subsets: [{ addresses: [{ ip: '10.0.0.1' }], ports: [{ port: 80 }] }] });
  assert.deepEqual(subsets?.[0]?.ports, [{ port: 80, protocol: 'TCP' }]);
});

test('slices refuse the same addresses', () => {
  const problems = problemsOf(EndpointSlice, { addressType: 'IPv4', endpoints: [{ addresses: ['127.0.0.1'] }] });
  assert.deepEqual(problems, [
    'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
  ]);
});
