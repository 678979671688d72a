import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createLog, ManualClock } from '#base/index.ts';
import type { Container, EngineEvent } from '#engine/engine.ts';
import { planCatchUp, toDockerEvents } from './engine-events.ts';
import { fromLine, toLine } from './event.ts';
import { EventJournal, type EventJournalOptions, type EventSink } from './event-journal.ts';

let dataDir: string;
let clock: ManualClock;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'events-'));
  clock = new ManualClock();
});
afterEach(() => rmSync(dataDir, { recursive: true }));

const open = (options: Partial<EventJournalOptions> = {}) =>
  new EventJournal({ dataDir, clock, log: createLog({ write: () => {} }), ...options });
const event = (action: string) => ({ type: 'container', action, id: 'c1', attributes: { image: 'i', name: 'n' } });
const past = async (journal: EventJournal, sinceMs?: number) => {
  const since = sinceMs === undefined ? undefined : { seconds: Math.floor(sinceMs / 1000), nanos: (sinceMs % 1000) * 1e6 };
  return (await Array.fromAsync(journal.read(since, journal.end))).map(({ action }) => action);
};

class Sink implements EventSink {
  text = '';
  isCut = false;
  takes = true;
  write(bytes: Buffer): boolean {
    this.text += bytes;
    return this.takes;
  }
  cut(): void {
    this.isCut = true;
  }
  get actions(): (string | undefined)[] {
    return this.text
      .split('\n')
      .filter(Boolean)
      .map(line => fromLine(line)?.action);
  }
}

describe('toLine', () => {
  it("is docker's form", () => {
    const line = toLine(event('start'), { seconds: 1_700_000_000, nanos: 1_000 }).toString();
    assert.equal(
      line,
      '{"status":"start","id":"c1","from":"i","Type":"container","Action":"start","Actor":{"ID":"c1","Attributes":{"image":"i","name":"n"}},"scope":"local","time":1700000000,"timeNano":1700000000000001000}\n',
    );
    const { at, line: again, ...read } = fromLine(line.trimEnd()) ?? assert.fail();
    assert.deepEqual([read, at, String(again)], [event('start'), { seconds: 1_700_000_000, nanos: 1_000 }, line]);
  });

  it('labels without end are left out', () => {
    const line = toLine(
      { ...event('die'), attributes: { ...event('die').attributes, exitCode: '3', big: 'x'.repeat(1 << 20) } },
      { seconds: 1, nanos: 0 },
    );
    assert.deepEqual(fromLine(line.toString().trimEnd())?.attributes, { image: 'i', name: 'n', exitCode: '3' });
  });
});

describe('EventJournal', () => {
  it('keeps events across restarts, and knows the last one', async () => {
    {
      await using journal = open();
      journal.emit(event('create'));
      clock.advance(5_000);
      journal.emit(event('start'));
      assert.deepEqual(await past(journal), ['create', 'start']);
    }
    await using journal = open();
    assert.equal(journal.lastBefore?.seconds, clock.now() / 1000);
    journal.emit(event('die'));
    assert.deepEqual(await past(journal), ['create', 'start', 'die']);
    assert.deepEqual(await past(journal, clock.now()), ['start', 'die']);
  });

  it('skips what a kill cut off', async () => {
    {
      await using journal = open();
      journal.emit(event('create'));
    }
    appendFileSync(`${dataDir}/docker/events/0000000001.jsonl`, '{"status":"sta');
    await using journal = open();
    journal.emit(event('die'));
    assert.deepEqual(await past(journal), ['create', 'die']);
  });

  it('is bounded', async () => {
    await using journal = open({ limits: { fileLines: 2, files: 3 } });
    for (let n = 0; n < 20; n++) {
      journal.emit(event(`a${n}`));
      void journal.end;
    }
    assert.equal(readdirSync(`${dataDir}/docker/events`).length, 3);
    assert.deepEqual(await past(journal), ['a14', 'a15', 'a16', 'a17', 'a18', 'a19']);
  });

  it('tells those who listen, each what it asked for, as one', async () => {
    await using journal = open();
    const [all, some] = [new Sink(), new Sink()];
    using _ = journal.listen(() => true, all);
    const listener = journal.listen(({ action }) => action === 'b', some);
    for (const action of ['a', 'b', 'c']) journal.emit(event(action));
    assert.equal(all.text, '');
    await turn();
    assert.deepEqual([all.actions, some.actions], [['a', 'b', 'c'], ['b']]);
    listener[Symbol.dispose]();
    journal.emit(event('b'));
    await turn();
    assert.deepEqual(some.actions, ['b']);
  });

  it('gives who was slow a little at a time', async () => {
    await using journal = open();
    const sizes: number[] = [];
    const write = (bytes: Buffer) => sizes.push(bytes.length) > 0;
    const listener = journal.listen(() => true, { write, cut() {} }, { held: true });
    for (let n = 0; n < 1_000; n++) journal.emit({ ...event('a'), attributes: { big: 'x'.repeat(1_000) } });
    await turn();
    listener.resume();
    while (sizes.reduce((sum, size) => sum + size, 0) < 1_000_000) await turn();
    assert.ok(sizes.length > 10 && Math.max(...sizes) < 70_000, sizes.join());
    listener[Symbol.dispose]();
  });

  it('waits for the slow, cuts off the slowest, and others notice nothing', async () => {
    await using journal = open({ mostBehind: 3 });
    const [quick, slow, stuck] = [new Sink(), new Sink(), new Sink()];
    slow.takes = false;
    stuck.takes = false;
    const [, listener] = [quick, slow, stuck].map(sink => journal.listen(() => true, sink));
    for (const action of ['a', 'b', 'c', 'd', 'e']) {
      if (action === 'd') listener?.resume();
      journal.emit(event(action));
      await turn();
    }
    assert.deepEqual(quick.actions, ['a', 'b', 'c', 'd', 'e']);
    assert.ok(!slow.isCut && stuck.isCut);
    listener?.resume();
    await turn();
    assert.deepEqual(slow.actions, ['a', 'b', 'c', 'd', 'e']);
    assert.deepEqual(stuck.actions, ['a']);
  });
});

const container: Container = {
  id: 'c1',
  owner: 'docker',
  config: { sandboxId: 's', metadata: { name: 'n', attempt: 0 }, image: 'i' },
  imageId: 'sha256:1',
  imageRef: 'i',
  state: 'exited',
  createdAtMs: 1_000,
  startedAtMs: 2_000,
  finishedAtMs: 5_500,
  exitCode: 137,
  reason: 'OOMKilled',
};

describe('toDockerEvents', () => {
  const told = (engineEvent: EngineEvent) =>
    toDockerEvents(engineEvent, () => ({ name: 'n', image: 'i', labels: { l: '1' } })).map(({ action, attributes }) => [
      action,
      attributes,
    ]);
  const plain = { l: '1', image: 'i', name: 'n' };
  const rows: [action: 'created' | 'started' | 'exited' | 'removed', expected: unknown][] = [
    ['created', [['create', plain]]],
    ['started', [['start', plain]]],
    [
      'exited',
      [
        ['oom', plain],
        ['die', { ...plain, exitCode: '137', execDuration: '3' }],
      ],
    ],
    ['removed', [['destroy', plain]]],
  ];
  for (const [action, expected] of rows) it(action, () => assert.deepEqual(told({ type: 'container', action, container }), expected));
});

describe('planCatchUp', () => {
  const rows: [lastMs: number, actions: string[]][] = [
    [0, ['created', 'started', 'exited']],
    [1_000, ['started', 'exited']],
    [4_000, ['exited']],
    [5_500, []],
  ];
  for (const [lastMs, actions] of rows)
    it(`after ${lastMs}`, () => {
      const last = { seconds: Math.floor(lastMs / 1000), nanos: (lastMs % 1000) * 1e6 };
      assert.deepEqual(
        planCatchUp([container], last).map(({ action }) => action),
        actions,
      );
    });
});
