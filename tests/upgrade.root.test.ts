import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { TestCluster, until } from './cluster.ts';
import { pod, shell } from './pod-manifests.ts';
import { podsOf } from './pods.ts';

const root = resolve(import.meta.dirname, '..');
const OTHER = '99.0.0-test';
/** Counts in its log and on a port; a gap in either would show. */
const COUNTING = 'while :; do echo pong | nc -l -p 8080; done & n=0; while :; do n=$((n+1)); echo $n; sleep 0.02; done';

describe('an instance upgraded in place', () => {
  let cluster: TestCluster;
  const { apply, inPhase, read } = podsOf(() => cluster);

  before(async () => {
    cluster = await TestCluster.up();
    await cluster.loadBusybox();
  });
  after(() => cluster[Symbol.asyncDispose]());

  test('umiak up of another version takes the place of server and agent; containers are not touched', async t => {
    await apply(pod('counts', [shell(COUNTING)]));
    const before = await inPhase('counts', 'Running');
    const processes = () => cluster.processes().filter(({ environment }) => environment.includes('HOSTNAME=counts'));
    const [main] = processes().map(({ pid }) => pid);
    const known = cluster.program;
    const pids = [cluster.pid('server'), cluster.pid('agent')];

    cluster.program = [copyProgram(join(cluster.directory, 'program'))];
    const ended = until('the end of the old agent', () => (isAlive(pids[1]) ? undefined : performance.now()), 20_000);
    const { replaced, wasUp, agent } = JSON.parse(await cluster.must('up', '-o', 'json'));
    t.diagnostic(`${((performance.now() - (await ended)) / 1000).toFixed(2)} s without a ready agent`);
    assert.deepEqual([replaced, wasUp, agent.version], [['server', 'agent'], false, OTHER]);
    assert.ok(!pids.some(isAlive), 'those before have ended');
    assert.match(await cluster.must('status'), new RegExp(`agent +ready .*version ${OTHER}`));
    assert.match(await cluster.must('up'), /is up already/);

    const { status } = await read('counts');
    assert.deepEqual(
      [status?.containerStatuses?.[0]?.containerID, status?.containerStatuses?.[0]?.restartCount, status?.podIP],
      [before.status?.containerStatuses?.[0]?.containerID, 0, before.status?.podIP],
    );
    assert.ok(main !== undefined && processes().some(({ pid }) => pid === main), 'the same process');
    assert.equal(await cluster.kubectl('exec', 'counts', '--', 'echo', 'here'), 'here\n');
    const numbers = (await cluster.kubectl('logs', 'counts')).trim().split('\n').map(Number);
    assert.deepEqual(
      numbers,
      numbers.map((_, index) => index + 1),
      'its log has no gap',
    );
    await apply(pod('later', [shell('echo fine')]));
    await inPhase('later', 'Succeeded');

    cluster.program = known;
    await cluster.must('up');
    assert.equal((await read('counts')).status?.containerStatuses?.[0]?.restartCount, 0, 'and back');
  });
});

/** The program at another place, in another version; its `umiak`. */
function copyProgram(to: string): string {
  mkdirSync(to);
  for (const part of ['src', 'bin', 'package.json']) cpSync(join(root, part), join(to, part), { recursive: true });
  for (const part of ['node_modules', '.bin']) symlinkSync(join(root, part), join(to, part));
  const version = join(to, 'src/main/version.ts');
  writeFileSync(version, readFileSync(version, 'utf8').replace(/VERSION = '[^']*'/, `VERSION = '${OTHER}'`));
  return join(to, 'bin/umiak');
}

function isAlive(pid: number | undefined): boolean {
  try {
    return pid !== undefined && process.kill(pid, 0);
  } catch {
    return false;
  }
}
