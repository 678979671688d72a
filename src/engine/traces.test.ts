import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { newContainerId } from '#base/ids.ts';
import { Cgroup } from '#linux/cgroup.ts';
import { findTraces } from './traces.ts';

test('a container that nothing speaks of has left nothing; what speaks of one is found', () => {
  const root = mkdtempSync(join(tmpdir(), 'traces-'));
  try {
    const [clean, exited, bundled, stated, grouped] = Array.from({ length: 5 }, newContainerId) as [string, string, string, string, string];
    mkdirSync(join(root, 'own', grouped), { recursive: true });
    const layout = { version: 'v2' as const, unified: root, controllers: {} };
    const hasTraces = findTraces(
      { exits: new Map([[exited, 0]]), bundles: new Set([bundled]), states: new Set([stated]) },
      { of: ({ cgroupPath }) => new Cgroup(layout, cgroupPath) },
    );
    const found = [clean, exited, bundled, stated, grouped].map(id => hasTraces({ id, cgroupPath: `/own/${id}` }));
    assert.deepEqual(found, [false, true, true, true, true]);
  } finally {
    rmSync(root, { recursive: true });
  }
});
