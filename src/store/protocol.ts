import { isUmiakError, messageOf, type Reason, UmiakError } from '#base/errors.ts';
import type { CompactionWindow } from './compaction.ts';
import type { CommitResult, Entry, StoreEvent, Transaction } from './store.ts';
import type { TransformerConfig } from './transformer.ts';

/*
 * What the main thread and the writer's thread say to each other. Commits go in packs: one message, with all numbers and keys in
 * one flat array and all values in one buffer that is moved, not copied. Replies to packs come in the order of the packs.
 */

export interface WriterOptions {
  path: string;
  window: CompactionWindow;
  transformers: TransformerConfig;
}

/** Where the store stands: sent when it opens and after each compaction. */
export interface Position {
  revision: number;
  compactedRevision: number;
}

export interface ReplayPage {
  events: StoreEvent[];
  /** All events up to here are in this page or were in earlier ones. */
  revision: number;
}

export interface ListPage {
  entries: Entry[];
  revision: number;
  /** False when the prefix is exhausted. */
  more: boolean;
}

/** What the main thread asks for one at a time, and what it gets. */
export interface Calls {
  get: { request: { key: string; at?: number }; reply: Entry | undefined };
  list: { request: { prefix: string; from: string; at: number | undefined; continued: boolean; limit: number }; reply: ListPage };
  replay: { request: { prefix: string; after: number; through: number }; reply: ReplayPage };
  compact: { request: { at: number }; reply: Position };
  /** Notes where the history stands and compacts what has left the window; `rest` tells whether there is more to forget later. */
  tick: { request: { nowMs: number }; reply: Position & { rest: boolean } };
  /** A side thread has copied the log into the database, or has failed to. */
  checkpointed: { request: { ok: boolean }; reply: undefined };
  close: { request: Record<never, never>; reply: undefined };
}
export type CallName = keyof Calls;
export type Call = { [Name in CallName]: { kind: Name; id: number; request: Calls[Name]['request'] } }[CallName];

export type ToWriter = { kind: 'commit'; pack: Pack } | Call;
export type FromWriter =
  | { kind: 'open'; position: Position }
  | { kind: 'not-open'; error: WireError }
  | { kind: 'committed'; outcomes: Pack; errors: WireError[] }
  /** The log has grown so long that a side thread should copy it into the database. */
  | { kind: 'log-long' }
  | { kind: 'reply'; id: number; result: unknown }
  | { kind: 'failed'; id: number; error: WireError };

export type SideJob = { kind: 'checkpoint' | 'verify'; path: string } | { kind: 'backup'; path: string; to: string };
export type FromSide = { kind: 'done'; problems: string[] } | { kind: 'failed'; error: WireError };

/** Numbers and keys in one flat array, values one after the other in one buffer. */
export interface Pack {
  words: (string | number)[];
  bytes: Uint8Array<ArrayBuffer>;
}

/** Writes a `Pack`; lengths stand among the words, -1 for no value. */
export class PackWriter {
  readonly #words: (string | number)[] = [];
  readonly #values: Uint8Array[] = [];
  #size = 0;

  word(word: string | number): void {
    this.#words.push(word);
  }

  value(value: Uint8Array | null | undefined): void {
    if (!value) return void this.#words.push(-1);
    this.#words.push(value.length);
    this.#values.push(value);
    this.#size += value.length;
  }

  get sizeBytes(): number {
    return this.#size;
  }

  finish(): Pack {
    const bytes = new Uint8Array(this.#size);
    let offset = 0;
    for (const value of this.#values) {
      bytes.set(value, offset);
      offset += value.length;
    }
    return { words: this.#words, bytes };
  }
}

/** Reads a `Pack` in the order it was written. Values are views of the pack's buffer. */
export class PackReader {
  readonly #words: readonly (string | number)[];
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #word = 0;
  #offset = 0;

  constructor({ words, bytes }: Pack) {
    this.#words = words;
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#word === this.#words.length;
  }

  number(): number {
    return this.#words[this.#word++] as number;
  }

  string(): string {
    return this.#words[this.#word++] as string;
  }

  value(): Uint8Array | null {
    const length = this.number();
    if (length < 0) return null;
    const start = this.#offset;
    this.#offset += length;
    return this.#bytes.subarray(start, this.#offset);
  }
}

export function packTransaction(pack: PackWriter, { conditions = [], writes }: Transaction): void {
  pack.word(conditions.length);
  for (const { key, revision } of conditions) {
    pack.word(key);
    pack.word(revision);
  }
  pack.word(writes.length);
  for (const { key, value } of writes) {
    pack.word(key);
    pack.value(value);
  }
}

export function unpackTransactions(pack: Pack): Transaction[] {
  const reader = new PackReader(pack);
  const transactions: Transaction[] = [];
  while (!reader.done) {
    const conditions = Array.from({ length: reader.number() }, () => ({ key: reader.string(), revision: reader.number() }));
    const writes = Array.from({ length: reader.number() }, () => ({ key: reader.string(), value: reader.value() }));
    transactions.push({ conditions, writes });
  }
  return transactions;
}

/** What one write did. `createRevision` 0: nothing (an absent key was deleted). */
export interface WriteEffect {
  createRevision: number;
  previousRevision: number;
  previous: Uint8Array | null;
}

export type Outcome =
  | { kind: 'written'; revision: number; effects: WriteEffect[] }
  /** `revision` 0: no such key. */
  | { kind: 'refused'; condition: number; revision: number; createRevision: number; value: Uint8Array | null }
  | { kind: 'error'; error: unknown };

const WRITTEN = 1;
const REFUSED = 2;
const ERROR = 3;

export function packOutcomes(outcomes: readonly Outcome[]): { outcomes: Pack; errors: WireError[] } {
  const pack = new PackWriter();
  const errors: WireError[] = [];
  for (const outcome of outcomes) {
    if (outcome.kind === 'written') {
      pack.word(WRITTEN);
      pack.word(outcome.revision);
      for (const { createRevision, previousRevision, previous } of outcome.effects) {
        pack.word(createRevision);
        pack.word(previousRevision);
        pack.value(previous);
      }
    } else if (outcome.kind === 'refused') {
      pack.word(REFUSED);
      pack.word(outcome.condition);
      pack.word(outcome.revision);
      pack.word(outcome.createRevision);
      pack.value(outcome.value);
    } else {
      pack.word(ERROR);
      pack.word(errors.push(toWireError(outcome.error)) - 1);
    }
  }
  return { outcomes: pack.finish(), errors };
}

/** Reads what became of `transaction`, the next in `reader`: its result, and the events to tell watchers. */
export function readOutcome(
  reader: PackReader,
  errors: readonly WireError[],
  transaction: Transaction,
): { result: CommitResult; events: StoreEvent[] } | Error {
  const kind = reader.number();
  if (kind === ERROR) return fromWireError(errors[reader.number()]!);
  if (kind === REFUSED) {
    const failed = transaction.conditions![reader.number()]!;
    const revision = reader.number();
    const createRevision = reader.number();
    const value = reader.value();
    if (!value) return { result: { ok: false, failed }, events: [] };
    return { result: { ok: false, failed, current: { key: failed.key, value, revision, createRevision } }, events: [] };
  }
  const revision = reader.number();
  const events: StoreEvent[] = [];
  for (const { key, value } of transaction.writes) {
    const createRevision = reader.number();
    const previousRevision = reader.number();
    const previous = reader.value();
    if (createRevision > 0)
      events.push(toEvent({ key, value, revision, createRevision }, previous && { value: previous, revision: previousRevision }));
  }
  return { result: { ok: true, revision }, events };
}

const NOTHING = new Uint8Array(0);

/** The event of one row: no value means a delete. */
export function toEvent(
  { key, value, revision, createRevision }: { key: string; value: Uint8Array | null; revision: number; createRevision: number },
  previous: { value: Uint8Array; revision: number } | null,
): StoreEvent {
  const event: StoreEvent = { type: value ? 'put' : 'delete', key, value: value ?? NOTHING, revision, createRevision };
  if (previous) event.previous = previous;
  return event;
}

/** An error that has to cross threads: structured cloning would make a plain `Error` of it. */
export interface WireError {
  reason: Reason;
  message: string;
  hint: string | undefined;
}

export function toWireError(error: unknown): WireError {
  if (isUmiakError(error)) return { reason: error.reason, message: error.message, hint: error.hint };
  return { reason: 'InternalError', message: messageOf(error), hint: undefined };
}

export function fromWireError({ reason, message, hint }: WireError): UmiakError {
  return new UmiakError(reason, message, hint === undefined ? {} : { hint });
}
