import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createLog } from '#base/log.ts';
import type { LocalEngine } from '#engine/local-engine.ts';
import { applyMachine } from '#engine/machine.ts';
import { openEngine } from '#engine/open-engine.ts';
import { removeInstance } from '#engine/remove-instance.ts';
import { BusyboxImages, LoopbackNetworks } from '#engine/testing.ts';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { Census } from './resources.ts';

const CONTAINERS = process.env.UMIAK_SOAK ? 20_000 : 2_000;
const WARM_UP = 200;
const AT_A_TIME = 2;
/** What the heap's and the allocator's own housekeeping moves; a kilobyte kept of each container would be more by far in a soak. */
const MOST_GROWTH_BYTES = process.env.UMIAK_SOAK ? 16 << 20 : 8 << 20;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

describe(`${CONTAINERS} containers made and removed in a row`, () => {
  const instance = `enginechurn-${process.pid}`;
  const directory = mkdtempSync(join(tmpdir(), `${instance}-`));
  const dirs = { dataDir: `${directory}/data`, runDir: `${directory}/run` };
  const kernel = new KernelChangeJournal({ holder: instance });
  let engine: LocalEngine;

  before(async () => {
    await applyMachine(kernel);
    engine = await openEngine({
      ...dirs,
      instance,
      images: new BusyboxImages(`${directory}/image`),
      networks: new LoopbackNetworks(`${directory}/netns`),
      log: createLog({ level: 'warn' }),
    });
  });
  after(async () => {
    await engine[Symbol.asyncDispose]();
    await removeInstance({ instance, ...dirs });
    await kernel.undoAll();
    rmSync(directory, { recursive: true });
  });

  const liveOnce = async () => {
    const metadata = { name: 'churn', namespace: 'default', uid: 'u', attempt: 0 };
    const { id: sandboxId } = await engine.createSandbox({ owner: 'node', metadata, network: 'pod', cgroupParent: 'besteffort/podu' });
    const { id } = await engine.createContainer({
      sandboxId,
      metadata: { name: 'main', attempt: 0 },
      image: 'busybox',
      command: ['sleep', '1000'],
    });
    await engine.startContainer(id);
    await engine.stopContainer(id, { graceMs: 0 });
    await engine.removeSandbox(sandboxId);
  };
  const live = async (count: number) => {
    let left = count;
    const work = async () => {
      while (left-- > 0) await liveOnce();
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, work));
  };

  test('memory, disk and counts are where they were', async t => {
    await live(WARM_UP);
    const census = new Census({ instance, directories: [directory] });
    const start = measure(directory);
    const began = performance.now();
    await live(CONTAINERS);
    const seconds = (performance.now() - began) / 1000;
    await census.settle();
    const end = measure(directory);
    const grown = Object.fromEntries(Object.entries(end).map(([what, size]) => [what, size - (start[what as keyof typeof start] ?? 0)]));
    t.diagnostic(`${(CONTAINERS / seconds).toFixed(0)} a second; grown: ${JSON.stringify(grown)}`);
    assert.deepEqual(engine.sandboxes(), []);
    assert.equal(end.diskKilobytes, start.diskKilobytes, 'disk');
    assert.equal(end.inodes, start.inodes, 'inodes');
    assert.ok(end.heapBytes - start.heapBytes < MOST_GROWTH_BYTES, `the heap has grown by ${end.heapBytes - start.heapBytes} bytes`);
    assert.ok(end.rssBytes - start.rssBytes < 4 * MOST_GROWTH_BYTES, `memory has grown by ${end.rssBytes - start.rssBytes} bytes`);
  });
});

function measure(directory: string) {
  for (let n = 0; n < 3; n++) collect();
  const { heapUsed, rss } = process.memoryUsage();
  const of = (flag: string[]) => Number(execFileSync('du', ['-sx', ...flag, directory], { encoding: 'utf8' }).split('\t')[0]);
  return { heapBytes: heapUsed, rssBytes: rss, diskKilobytes: of(['-k']), inodes: of(['--inodes']) };
}
