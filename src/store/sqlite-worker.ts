import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import {
  type Call,
  type FromWriter,
  packOutcomes,
  type ToWriter,
  toWireError,
  unpackTransactions,
  type WriterOptions,
} from './protocol.ts';
import { openDatabase } from './sqlite-format.ts';
import type { Transaction } from './store.ts';
import { loadTransformers } from './transformer.ts';
import { VersionTable } from './version-table.ts';

/*
 * The writer's thread. All packs that have arrived form the next group: one SQLite transaction, one flush. Between groups it serves one
 * read; what compaction leaves to remove goes when nothing waits, or after so many groups under load. With nothing to do it sleeps.
 */

/** A group ends after so many transactions or bytes: a flush should not make those in it wait much longer than one alone. */
const GROUP_TRANSACTIONS = 1024;
const GROUP_BYTES = 8 * 1024 * 1024;
const GROUPS_PER_SWEEP = 8;
/** Look at the log's length each time so many bytes were written; from `LOG_LONG_PAGES` on a side thread copies it. */
const LOG_LOOK_BYTES = 1024 * 1024;
const LOG_LONG_PAGES = 2048;
/** What a step of sweeping adds to the log, roughly. */
const SWEEP_LOG_BYTES = 256 * 1024;
/**
 * Only a copy that leaves nothing over lets the log begin anew, and under load a side thread always leaves something. From
 * `LOG_RESTART_PAGES` on that rest is copied here, which holds writers up for two flushes, unless it is large; from `LOG_TOO_LONG_PAGES` even then.
 */
const LOG_RESTART_PAGES = 8192;
const LOG_REST_PAGES = 512;
const LOG_TOO_LONG_PAGES = 24_576;

const port = parentPort!;
const { path, window, transformers } = workerData as WriterOptions;

type PackMessage = Extract<ToWriter, { kind: 'commit' }>;
const packs: { transactions: Transaction[]; sizeBytes: number }[] = [];
const calls: Call[] = [];
let groupsSinceSweep = 0;
let bytesSinceLook = 0;
let isLogReported = false;
let isSweepDue = false;
let sweepFailure: unknown;
let idleSweep: NodeJS.Immediate | undefined;

let table: VersionTable;

function post(message: FromWriter, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

function take(message: ToWriter): void {
  if (message.kind === 'commit') packs.push(unpack(message));
  else calls.push(message);
}

function unpack({ pack }: PackMessage) {
  return { transactions: unpackTransactions(pack), sizeBytes: pack.bytes.length };
}

/** Works until nothing waits, looking for new messages after each piece of work. */
function drain(): void {
  do {
    for (let more = receiveMessageOnPort(port); more; more = receiveMessageOnPort(port)) take(more.message as ToWriter);
    if (packs.length > 0) commitGroup();
    // Nothing that was asked before the end is left behind.
    const call = calls[0]?.kind === 'close' && packs.length > 0 ? undefined : calls.shift();
    if (call) serve(call);
    if (isSweepDue && ++groupsSinceSweep >= GROUPS_PER_SWEEP) sweep();
  } while (packs.length > 0 || calls.length > 0);
  sweepWhenIdle();
}

function commitGroup(): void {
  const group: typeof packs = [];
  let count = 0;
  let bytes = 0;
  for (let next = packs[0]; next && (count === 0 || (count < GROUP_TRANSACTIONS && bytes < GROUP_BYTES)); next = packs[0]) {
    group.push(next);
    packs.shift();
    count += next.transactions.length;
    bytes += next.sizeBytes;
  }
  const { outcomes, errors } = packOutcomes(table.commit(group.flatMap(pack => pack.transactions)));
  post({ kind: 'committed', outcomes, errors }, [outcomes.bytes.buffer]);
  bytesSinceLook += bytes + count * 128;
  if (bytesSinceLook >= LOG_LOOK_BYTES) lookAtLog();
}

function lookAtLog(): void {
  bytesSinceLook = 0;
  if (isLogReported || table.log.behind < LOG_LONG_PAGES) return;
  isLogReported = true;
  post({ kind: 'log-long' });
}

function afterSideCheckpoint(ok: boolean): undefined {
  isLogReported = false;
  if (!ok) return;
  const { pages, behind } = table.log;
  if ((pages >= LOG_RESTART_PAGES && behind <= LOG_REST_PAGES) || pages >= LOG_TOO_LONG_PAGES) table.checkpoint();
  else lookAtLog();
}

function sweep(): void {
  groupsSinceSweep = 0;
  try {
    isSweepDue = table.sweep();
  } catch (error) {
    // Nobody waits for it: the next tick tells, and tries again.
    isSweepDue = false;
    sweepFailure = error;
  }
}

function sweepWhenIdle(): void {
  if (!isSweepDue) return;
  idleSweep ??= setImmediate(() => {
    idleSweep = undefined;
    sweep();
    bytesSinceLook += SWEEP_LOG_BYTES;
    if (bytesSinceLook >= LOG_LOOK_BYTES) lookAtLog();
    drain();
  });
}

function serve(call: Call): void {
  try {
    post({ kind: 'reply', id: call.id, result: answer(call) });
  } catch (error) {
    post({ kind: 'failed', id: call.id, error: toWireError(error) });
  }
  if (call.kind === 'close') port.close();
}

function answer(call: Call) {
  switch (call.kind) {
    case 'get':
      return table.get(call.request.key, call.request.at);
    case 'list':
      return table.list(call.request);
    case 'replay':
      return table.replay(call.request.prefix, call.request.after, call.request.through);
    case 'compact':
      table.compact(call.request.at);
      isSweepDue = true;
      return table.position;
    case 'tick': {
      isSweepDue = true;
      const failure = sweepFailure;
      sweepFailure = undefined;
      if (failure) throw failure;
      const rest = table.tick(call.request.nowMs);
      return { ...table.position, rest };
    }
    case 'checkpointed':
      return afterSideCheckpoint(call.request.ok);
    case 'close':
      isSweepDue = false;
      clearImmediate(idleSweep);
      return table.close();
  }
}

try {
  const transformerFor = await loadTransformers(transformers);
  table = new VersionTable(openDatabase(path), { path, window, transformerFor });
  isSweepDue = table.position.compactedRevision > 0;
  port.on('message', (message: ToWriter) => {
    take(message);
    drain();
  });
  post({ kind: 'open', position: table.position });
  sweepWhenIdle();
} catch (error) {
  post({ kind: 'not-open', error: toWireError(error) });
}
