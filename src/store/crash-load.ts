/**
 * The victim of `sqlite-crash.root.test.ts`: loads the store in `argv[2]` and writes a line to stdout for each acknowledged commit,
 * until it is killed. Each client rewrites all of its keys with a counter, so that a transaction in part is seen.
 */
import { writeSync } from 'node:fs';
import { openSqliteStore } from './sqlite-store.ts';

const CLIENTS = 12;

const store = await openSqliteStore({ path: process.argv[2]!, windowMs: 200, windowBytes: 2 * 1024 * 1024 });
await Promise.all(Array.from({ length: CLIENTS }, (_, client) => load(client)));

async function load(client: number): Promise<void> {
  const guard = `/crash/${client}/guard`;
  let current = await store.get(guard);
  for (let counter = current ? Number(Buffer.from(current.value).toString()) + 1 : 1; ; counter++) {
    const value = Buffer.from(String(counter));
    const writes = [{ key: guard, value }];
    for (let n = 0; n <= client % 4; n++)
      writes.push({ key: `/crash/${client}/part-${n}`, value: Buffer.from(`${counter}`.padEnd(50 + 300 * n)) });
    // One key lives only in every other revision.
    const blink = { key: `/crash/${client}/blink`, value: counter % 2 ? value : null };
    const result = await store.commit({ conditions: [{ key: guard, revision: current?.revision ?? 0 }], writes: [...writes, blink] });
    if (!result.ok) throw new Error(`client ${client} found ${result.current?.revision} instead of ${current?.revision}`);
    current = { key: guard, value, revision: result.revision, createRevision: 0 };
    report(`${client} ${counter} ${result.revision}\n`);
  }
}

/** Writes all of `line` before anything else happens: the pipe does not block by itself. */
function report(line: string): void {
  for (let rest = Buffer.from(line); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}
