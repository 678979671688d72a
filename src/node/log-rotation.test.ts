import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ManualClock, silentLog, UmiakError } from '#base/index.ts';
import type { Container, Engine, EngineEvent } from '#engine/engine.ts';
import { LogRotation } from './log-rotation.ts';
import { instance } from './testing.ts';

const directory = mkdtempSync(join(tmpdir(), `umiak-rotation-${process.pid}-`));
after(() => rmSync(directory, { recursive: true }));

class CountingClock extends ManualClock {
  readonly #timers = new Set<object>();

  get pending(): number {
    return this.#timers.size;
  }

  override after(ms: number, run: () => void): Disposable {
    const timer = super.after(ms, () => {
      this.#timers.delete(timer);
      run();
    });
    this.#timers.add(timer);
    return {
      [Symbol.dispose]: () => {
        this.#timers.delete(timer);
        timer[Symbol.dispose]();
      },
    };
  }
}

test('what is too long is put away, every ten seconds, while something runs', async () => {
  const clock = new CountingClock();
  const rotated: string[] = [];
  let containers: Container[] = [];
  let tell: (event: EngineEvent) => void = () => {};
  const engine: Pick<Engine, 'containers' | 'rotateLog' | 'subscribe'> = {
    containers: () => containers,
    rotateLog: async id => {
      rotated.push(id);
      if (id === 'ending-0') throw new UmiakError('Conflict', 'it does not run');
    },
    subscribe: listener => {
      tell = listener;
      return { [Symbol.dispose]() {} };
    },
  };
  const logging = (name: string, bytes: number, state: Container['state'] = 'running'): Container => {
    const logPath = join(directory, name);
    writeFileSync(logPath, Buffer.alloc(bytes));
    return { ...instance(name, state), logPath };
  };
  await using rotation = new LogRotation({ engine, clock, log: silentLog, maxBytes: 100 });
  assert.equal(clock.pending, 0, 'nothing runs, nothing is looked at');
  const long = logging('long', 101);
  containers = [
    long,
    logging('ending', 101),
    logging('short', 100),
    logging('dead', 101, 'exited'),
    { ...instance('none', 'running'), logPath: join(directory, 'none') },
  ];
  tell({ type: 'container', action: 'started', container: long });
  clock.advance(9_999);
  assert.deepEqual(rotated, []);
  clock.advance(1);
  for (const deadline = Date.now() + 10_000; clock.pending === 0; await new Promise(setImmediate)) assert.ok(Date.now() < deadline);
  assert.deepEqual(rotated, ['long-0', 'ending-0']);
  containers = [];
  clock.advance(10_000);
  await rotation[Symbol.asyncDispose]();
  assert.deepEqual([clock.pending, rotated.length], [0, 2]);
});
