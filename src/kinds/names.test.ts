import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as names from './names.ts';

const long = (count: number) => 'a'.repeat(count);
const cases: [check: (text: string) => string[], good: string[], bad: string[]][] = [
  [names.checkDnsLabel, ['a', 'a-1', '1a', long(63)], ['', '-a', 'a-', 'A', 'a.b', 'a_b', long(64)]],
  [names.checkDns1035Label, ['a', 'a-1', long(63)], ['', '1a', 'a.b', long(64)]],
  [names.checkDnsSubdomain, ['a', 'a.b-c.d', '1.2', long(253)], ['', '.a', 'a..b', 'a.', 'A', long(254)]],
  [names.checkPathSegment, ['a:b', 'A', 'system:x'], ['.', '..', 'a/b', 'a%b']],
  [
    names.checkQualifiedName,
    ['a', 'A_b.c', 'x.y/z', `${long(63)}`],
    ['', '/', 'a/', '/a', 'a/b/c', '-a', 'X/y', long(64), `${long(600)}/a`],
  ],
  [names.checkLabelValue, ['', 'a', 'A_b.c'], ['-a', 'a b', long(64)]],
  [names.checkConfigKey, ['a', '.a', 'A_b-c.d'], ['', '.', '..', '..a', 'a/b', long(254)]],
  [names.checkEnvVarName, ['A', 'a.b', '1', 'A B', '_'], ['', 'a=b', 'ä', 'a\n']],
  [names.checkPortName, ['http', 'a-1', '1a'], ['', '80', 'a--b', '-a', 'A', long(16)]],
  [names.checkRelativePath, ['a', 'a/b', '..a', 'a..b'], ['/a', '..', 'a/../b']],
];
for (const [check, good, bad] of cases)
  test(check.name, () => {
    for (const text of good) assert.deepEqual(check(text), [], JSON.stringify(text));
    for (const text of bad) assert.notEqual(check(text).length, 0, JSON.stringify(text));
  });

test('addresses and ranges', () => {
  for (const ip of ['10.0.0.1', '255.255.255.255', '::1', 'fd00::a', '::ffff:10.0.0.1']) assert.ok(names.isIp(ip), ip);
  for (const ip of ['', '10.0.0', '10.0.0.01', '256.0.0.1', '10.0.0.1.', ':::1', 'fe80::1%eth0', 'a', '1:2'])
    assert.ok(!names.isIp(ip), ip);
  for (const cidr of ['10.0.0.0/8', '0.0.0.0/0', 'fd00::/64']) assert.ok(names.isCidr(cidr), cidr);
  for (const cidr of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/08', 'fd00::/129', '10.0.0.0/8/8']) assert.ok(!names.isCidr(cidr), cidr);
});
