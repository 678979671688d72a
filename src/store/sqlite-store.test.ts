import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { openSqliteStore } from './sqlite-store.ts';
import { runStoreSuite } from './suite.ts';

const directory = mkdtempSync(join(tmpdir(), `umiak-store-${process.pid}-`));
after(() => rmSync(directory, { recursive: true, force: true }));
let count = 0;

runStoreSuite('SqliteStore', () => openSqliteStore({ path: join(directory, `${++count}`, 'state.db') }));
