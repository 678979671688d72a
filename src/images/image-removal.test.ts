import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Digest } from './digest.ts';
import type { IndexEntry } from './image-index.ts';
import { planRemoval, untaggedName } from './image-removal.ts';

const digest: Digest = `sha256:${'a'.repeat(64)}`;
const none = untaggedName(digest);

function entry(name: string): IndexEntry {
  const descriptor = { mediaType: '', digest, size: 1 };
  return { name, target: descriptor, manifest: descriptor, updatedAtMs: 0 };
}

test('removal by name and by id follows docker', () => {
  const [one, two, other, atDigest] = ['r/a:1', 'r/a:2', 'r/b:1', `r/a@${digest}`];
  const table: {
    names: string[];
    name?: string;
    used?: boolean;
    force?: boolean;
    gone?: string[];
    isGone?: boolean;
    keeps?: boolean;
    error?: RegExp;
  }[] = [
    { names: [one], name: one, gone: [one], isGone: true },
    { names: [one, two], name: one, gone: [one], isGone: false },
    { names: [one, two, atDigest], name: one, gone: [one], isGone: false },
    { names: [one, atDigest], name: one, gone: [one, atDigest], isGone: true },
    { names: [one, other, atDigest], name: one, gone: [one, atDigest], isGone: false },
    { names: [one, atDigest], name: atDigest, gone: [atDigest], isGone: false },
    { names: [one, two, atDigest], gone: [one, two, atDigest], isGone: true },
    { names: [one, other], error: /2 repositories/ },
    { names: [one, other], force: true, gone: [one, other], isGone: true },
    { names: [none], gone: [], isGone: true },
    { names: [one], name: one, used: true, error: /used by a container/ },
    { names: [one, two], name: one, used: true, gone: [one], isGone: false },
    { names: [one], name: one, used: true, force: true, gone: [one], isGone: false, keeps: true },
    { names: [none], used: true, force: true, error: /used by a container/ },
  ];
  for (const { names, name, used = false, force = false, gone, isGone, keeps = false, error } of table) {
    const plan = () =>
      planRemoval({ reference: name ?? digest, id: digest, ...(name ? { name } : {}), entries: names.map(entry), isInUse: used, force });
    const what = JSON.stringify({ names, name, used, force });
    if (error) assert.throws(plan, error, what);
    else assert.deepEqual([plan().untagged, plan().isGone, plan().keepAs?.name], [gone, isGone, keeps ? none : undefined], what);
  }
});
