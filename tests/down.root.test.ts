import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { TestCluster } from './cluster.ts';
import { assertNoLeak, countResources } from './resources.ts';

test('umiak down right after a kill leaves nothing, though the other was about to start the killed one again', async () => {
  await using cluster = await TestCluster.open();
  const count = () => ({
    ...countResources({ instance: cluster.name, directories: [cluster.directory, cluster.runDir] }),
    descriptors: {},
  });
  const before = count();
  for (const role of ['agent', 'server'] as const) {
    await cluster.must('up');
    // Each further kill makes the pause before the next start longer.
    for (let kill = 0; kill < 2; kill++) {
      process.kill(cluster.pid(role), 'SIGKILL');
      await cluster.must('up');
    }
    process.kill(cluster.pid(role), 'SIGKILL');
    await cluster.must('down', '--containers');
    assert.equal(existsSync(cluster.runDir), false, `after a kill of the ${role} the run directory is gone and stays so`);
    assertNoLeak(before, count(), { files: false });
  }
});
