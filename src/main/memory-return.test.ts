import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getHeapSpaceStatistics } from 'node:v8';
import { ManualClock, systemClock } from '#base/index.ts';
import { BETWEEN_MS, MemoryReturn, POOLED_MS, type ProcessMemory, REST_MS } from './memory-return.ts';

const MB = 1 << 20;
const youngBytes = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')!.space_size;
const turn = () => new Promise(resolve => setImmediate(resolve));

/** A process whose young objects take `youngMb`, one size after each collection. */
class TestMemory implements ProcessMemory {
  readonly done: string[] = [];
  readonly #youngMb: number[];
  residentMb = 100;
  listener = () => {};

  constructor(...youngMb: number[]) {
    this.#youngMb = youngMb;
  }

  onCollection(listener: () => void): Disposable {
    this.listener = listener;
    return { [Symbol.dispose]: () => (this.listener = () => {}) };
  }

  youngBytes(): number {
    return this.#youngMb[0]! * MB;
  }

  residentBytes(): number {
    return this.residentMb * MB;
  }

  collectYoung(): void {
    this.done.push('collect');
    if (this.#youngMb.length > 1) this.#youngMb.shift();
    this.listener();
  }

  async trim(): Promise<void> {
    this.done.push('trim');
  }
}

/** Lets time pass in small steps, so that what waits for a step's end goes on in the next. */
async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    clock.advance(100);
    await turn();
  }
}

test('a process that rests after work gives back, once', async () => {
  const clock = new ManualClock();
  const memory = new TestMemory(60, 60, 1);
  await using _ = new MemoryReturn({ clock, memory });
  await pass(clock, 10 * REST_MS);
  assert.deepEqual(memory.done, [], 'nothing has happened in it');
  for (let round = 0; round < 5; round++) {
    memory.listener();
    await pass(clock, REST_MS - 100);
  }
  assert.deepEqual(memory.done, [], 'not while it works');
  await pass(clock, 100);
  assert.deepEqual(memory.done, ['collect']);
  await pass(clock, 2 * BETWEEN_MS);
  assert.deepEqual(memory.done, ['collect', 'collect', 'trim']);
  await pass(clock, 10 * REST_MS);
  await pass(clock, POOLED_MS);
  assert.deepEqual(memory.done, ['collect', 'collect', 'trim', 'collect']);
  memory.listener();
  await pass(clock, 10 * REST_MS);
  assert.deepEqual(memory.done, ['collect', 'collect', 'trim', 'collect'], 'our own collections are no work, nor is a little');
});

test('work that begins again meanwhile puts the rest off', async () => {
  const clock = new ManualClock();
  const memory = new TestMemory(60);
  await using _ = new MemoryReturn({ clock, memory });
  memory.listener();
  await pass(clock, REST_MS);
  memory.listener();
  await pass(clock, REST_MS - 100);
  assert.deepEqual(memory.done, ['collect']);
});

test("V8's own collection may make the space small first: the rest is given back all the same", async () => {
  const clock = new ManualClock();
  const memory = new TestMemory(60, 1);
  await using _ = new MemoryReturn({ clock, memory });
  memory.listener();
  await pass(clock, REST_MS);
  memory.listener();
  await pass(clock, REST_MS);
  assert.deepEqual(memory.done, ['collect', 'trim']);
});

test('a space that does not become small is collected a few times, and left alone until there was work again', async () => {
  const clock = new ManualClock();
  const memory = new TestMemory(60);
  await using _ = new MemoryReturn({ clock, memory });
  memory.listener();
  await pass(clock, REST_MS + 3 * BETWEEN_MS);
  assert.deepEqual(memory.done, ['collect', 'collect', 'collect', 'trim']);
  await pass(clock, 100 * REST_MS);
  assert.deepEqual(memory.done, ['collect', 'collect', 'collect', 'trim', 'collect']);
});

test('what other threads have left behind is given back too', async () => {
  const clock = new ManualClock();
  const memory = new TestMemory(1);
  await using _ = new MemoryReturn({ clock, memory });
  memory.residentMb = 103;
  memory.listener();
  await pass(clock, 10 * REST_MS);
  assert.deepEqual(memory.done, [], 'a little is no burst');
  memory.residentMb = 120;
  memory.listener();
  await pass(clock, REST_MS + BETWEEN_MS);
  memory.listener();
  await pass(clock, 2 * (REST_MS + POOLED_MS));
  assert.deepEqual(memory.done, ['trim', 'collect'], 'once, though a little went on');
  memory.listener();
  await pass(clock, 10 * REST_MS);
  assert.deepEqual(memory.done, ['trim', 'collect'], 'what it has now is what it needs');
});

test("node's own: the space that young objects grew under load shrinks", { timeout: 60_000 }, async () => {
  await using _ = new MemoryReturn({ clock: systemClock });
  let kept: unknown[] = [];
  while (youngBytes() < 12 * MB) {
    kept.push(Array.from({ length: 100 }, (_, i) => ({ i })));
    if (kept.length > 2000) kept = [];
  }
  kept = [];
  await turn();
  while (youngBytes() > 4 * MB) await new Promise(resolve => setTimeout(resolve, 50));
});
