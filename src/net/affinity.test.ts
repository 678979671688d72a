import assert from 'node:assert/strict';
import { test } from 'node:test';
import { losesAffinity, parseAffinities, planAffinities } from './affinity.ts';
import type { ServiceRule } from './rules.ts';

const LISTING = `table ip t {
	map affinity {
		typeof ip saddr . ip daddr . ip protocol . th dport : ip daddr . th dport
		size 65536
		flags dynamic,timeout
		elements = { 10.42.0.9 . 10.43.0.7 . tcp . 80 timeout 3h expires 2h59m59s940ms : 10.42.0.2 . 8080,
			     203.0.113.2 . 203.0.113.1 . tcp . 30080 timeout 10s expires 9s : 10.42.0.3 . 8080 }
	}
}`;
const kept = parseAffinities(LISTING);
const [inside, outside] = kept;

const web = (addresses: string[], more: Partial<ServiceRule> = {}): ServiceRule => ({
  id: 'default/web',
  addresses: ['10.43.0.7'],
  ports: [{ protocol: 'tcp', port: 80, nodePort: 30080, endpoints: addresses.map(address => ({ address, port: 8080 })) }],
  affinitySeconds: 10_800,
  ...more,
});
const all = ['10.42.0.2', '10.42.0.3'];

test('who is kept where, and for how long, is read as nft prints it', () => {
  assert.deepEqual(kept, [
    { key: '10.42.0.9 . 10.43.0.7 . tcp . 80', lifetime: 'timeout 3h expires 2h59m59s940ms', endpoint: '10.42.0.2 . 8080' },
    { key: '203.0.113.2 . 203.0.113.1 . tcp . 30080', lifetime: 'timeout 10s expires 9s', endpoint: '10.42.0.3 . 8080' },
  ]);
  assert.deepEqual(parseAffinities(''), []);
});

const { affinitySeconds: _, ...forgetful } = web(all);
const cases: [string, ServiceRule, typeof kept][] = [
  ['the same rules', web(all), kept],
  ['one endpoint more', web([...all, '10.42.0.4']), kept],
  ['one endpoint less', web(['10.42.0.2']), [inside!]],
  ['another address', web(all, { addresses: ['10.43.0.8'] }), [outside!]],
  ['another traffic policy', web(all, { externalPolicyLocal: true }), []],
  ['another timeout', web(all, { affinitySeconds: 5 }), kept],
  ['no affinity', forgetful, []],
];
for (const [name, after, left] of cases)
  test(`of those kept stay, after ${name}: ${left.length}`, () => {
    assert.deepEqual(planAffinities(kept, [after], [web(all)]), left);
    assert.equal(losesAffinity([web(all)], [after]), left.length < kept.length);
  });

test('rules that were never kept in mind judge by endpoints alone', () => {
  assert.deepEqual(planAffinities(kept, [web(all, { externalPolicyLocal: true })], []), kept);
});
