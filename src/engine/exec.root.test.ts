import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { ExecSession } from './engine.ts';
import { EngineBench } from './test-bench.ts';

const bench = new EngineBench('utexec', 'crun');
let id: string;
before(async () => {
  await bench.open();
  id = (await bench.start('exec sleep 1000')).id;
});
after(() => bench[Symbol.asyncDispose]());

/** Directories and files that this process watches. */
function watches(): number {
  return readdirSync('/proc/self/fdinfo')
    .flatMap(fd => {
      try {
        return readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8').split('\n');
      } catch {
        return []; // what lists the directory
      }
    })
    .filter(line => line.startsWith('inotify wd:')).length;
}

/** The runtime writes it down when the process runs already. */
async function pidOf({ pid }: ExecSession): Promise<number> {
  for (const end = Date.now() + 10_000; ; await setTimeout(1)) {
    const known = pid?.();
    if (known !== undefined) return known;
    assert.ok(Date.now() < end, 'no pid was told');
  }
}

test('an exec watches for nothing that nobody asks; its pid is known when it is asked, and after its end', async () => {
  const before = watches();
  const session = await bench.engine.exec(id, { command: ['cat'], stdin: true });
  assert.equal(watches(), before);
  session.stdin!.write('x');
  await once(session.stdout, 'data');
  const pid = await pidOf(session);
  assert.equal(readFileSync(`/proc/${pid}/comm`, 'utf8'), 'cat\n');
  assert.ok(session.ranMs!()! >= 0);
  assert.equal(watches(), before);
  session.stdin!.end();
  assert.equal(await session.exitCode, 0);
  assert.equal(session.pid!(), pid);
  assert.equal(watches(), before);
});

test('closed before the runtime has told its pid, it is killed all the same, and then nothing is watched', async () => {
  const before = watches();
  const sessions = await Promise.all(Array.from({ length: 5 }, () => bench.engine.exec(id, { command: ['sleep', '1000'] })));
  for (const session of sessions) session.close();
  for (const session of sessions) assert.equal(await session.exitCode, 137);
  assert.equal(watches(), before);
});

test('the time of a command is its own: what the runtime took is given back to it', async () => {
  const { engine } = bench;
  assert.deepEqual(await engine.execSync(id, { command: ['sh', '-c', 'echo in; exit 3'], timeoutMs: 10_000 }), {
    exitCode: 3,
    output: 'in\n',
  });
  // Less than any start takes: only what is counted from the pid on lets it say something.
  const late = engine.execSync(id, { command: ['sh', '-c', 'echo said; exec sleep 1000'], timeoutMs: 20 });
  await assert.rejects(late, { reason: 'Timeout', message: /did not end within 20 ms and was killed/ });
});
