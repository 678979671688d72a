import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CacheRecord } from './cache.ts';
import { planPrune } from './plan-prune.ts';

function candidate(id: string, more: { base?: string; size?: number; used?: number; isHeld?: boolean; isExported?: boolean } = {}) {
  const { base = 'image:x', size = 10, used = 0, isHeld = false, isExported = false } = more;
  const record: CacheRecord = {
    version: 1,
    id,
    keys: [],
    kind: 'run',
    createdBy: '',
    base,
    hasFiles: true,
    sizeBytes: size,
    createdAtMs: 0,
    uses: 1,
    isExported,
  };
  return { record, usedAtMs: used, isHeld };
}
const idsOf = (records: readonly CacheRecord[]) => records.map(({ id }) => id);

const chain = [candidate('a', { used: 1 }), candidate('b', { base: 'a', used: 2 }), candidate('c', { base: 'b', used: 3 })];
const cases: [name: string, ...Parameters<typeof planPrune>, expected: string[]][] = [
  ['everything goes, what is built on others first', chain, { all: true, nowMs: 10 }, ['c', 'b', 'a']],
  ['as little as makes the rest fit', chain, { all: true, maxBytes: 20, nowMs: 10 }, ['c']],
  ['what is held stays, with what it is built on', [chain[0]!, candidate('b', { base: 'a', isHeld: true })], { all: true, nowMs: 10 }, []],
  ['what images are made of stays unless all is asked', [candidate('a', { isExported: true }), candidate('z')], { nowMs: 10 }, ['z']],
  [
    'what was used lately stays',
    [candidate('old', { used: 1 }), candidate('new', { used: 9 })],
    { all: true, unusedForMs: 5, nowMs: 10 },
    ['old'],
  ],
  ['only what is named', [candidate('a'), candidate('b')], { all: true, ids: ['b'], nowMs: 10 }, ['b']],
  ['longest unused first', [candidate('b', { used: 2 }), candidate('a', { used: 1 })], { all: true, maxBytes: 10, nowMs: 10 }, ['a']],
];
for (const [name, candidates, options, expected] of cases)
  test(name, () => assert.deepEqual(idsOf(planPrune(candidates, options)), expected));
