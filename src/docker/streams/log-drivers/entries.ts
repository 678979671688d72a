import type { Readable } from 'node:stream';

/** One line that a container wrote, or a piece of a long one. */
export interface LogEntry {
  stream: 'stdout' | 'stderr';
  /** RFC 3339 in UTC with nanoseconds, of the line's beginning. */
  time: string;
  /** Without the newline. */
  content: Buffer;
  /** The line ends here. */
  isWhole: boolean;
}

/** Docker's drivers give longer lines on in pieces. */
const MAX_ENTRY_BYTES = 16 << 10;
const HEADER_BYTES = 8;
const NEWLINE = 0x0a;
const SPACE = 0x20;

interface Open {
  time: string;
  pieces: Buffer[];
  bytes: number;
}

/** Reads a log with times in docker's frames as entries: all those of a block at once. What no newline has ended comes at the end. */
export async function* readEntries(frames: Readable): AsyncGenerator<LogEntry[]> {
  const joiner = new EntryJoiner();
  let carry: Buffer = Buffer.alloc(0);
  for await (const block of frames as AsyncIterable<Buffer>) {
    const bytes: Buffer = carry.length > 0 ? Buffer.concat([carry, block]) : block;
    let at = 0;
    while (at + HEADER_BYTES <= bytes.length) {
      const end = at + HEADER_BYTES + bytes.readUInt32BE(at + 4);
      if (end > bytes.length) break;
      joiner.add(bytes[at] === 2 ? 'stderr' : 'stdout', bytes.subarray(at + HEADER_BYTES, end));
      at = end;
    }
    carry = Buffer.from(bytes.subarray(at));
    const entries = joiner.take();
    if (entries.length > 0) yield entries;
  }
  joiner.endAll();
  const rest = joiner.take();
  if (rest.length > 0) yield rest;
}

/** Joins pieces of lines, up to a size. */
class EntryJoiner {
  readonly #open = new Map<LogEntry['stream'], Open>();
  #entries: LogEntry[] = [];

  add(stream: LogEntry['stream'], piece: Buffer): void {
    const isWhole = piece[piece.length - 1] === NEWLINE;
    const text = isWhole ? piece.subarray(0, -1) : piece;
    let open = this.#open.get(stream);
    if (open) this.#append(open, text);
    else {
      const space = text.indexOf(SPACE);
      open = { time: text.toString('latin1', 0, space), pieces: [], bytes: 0 };
      this.#append(open, text.subarray(space + 1));
      this.#open.set(stream, open);
    }
    if (isWhole || open.bytes >= MAX_ENTRY_BYTES) this.#give(stream, open, isWhole);
    if (isWhole) this.#open.delete(stream);
  }

  endAll(): void {
    for (const [stream, open] of this.#open) if (open.bytes > 0) this.#give(stream, open, true);
    this.#open.clear();
  }

  take(): LogEntry[] {
    const entries = this.#entries;
    this.#entries = [];
    return entries;
  }

  #append(open: Open, bytes: Buffer): void {
    open.pieces.push(bytes);
    open.bytes += bytes.length;
  }

  #give(stream: LogEntry['stream'], open: Open, isWhole: boolean): void {
    const content = open.pieces.length === 1 ? open.pieces[0]! : Buffer.concat(open.pieces);
    const { time } = open;
    for (let at = 0; at + MAX_ENTRY_BYTES < content.length; at += MAX_ENTRY_BYTES)
      this.#entries.push({ stream, time, content: content.subarray(at, at + MAX_ENTRY_BYTES), isWhole: false });
    const last = content.length === 0 ? 0 : Math.floor((content.length - 1) / MAX_ENTRY_BYTES) * MAX_ENTRY_BYTES;
    this.#entries.push({ stream, time, content: content.subarray(last), isWhole });
    open.pieces = [];
    open.bytes = 0;
  }
}
