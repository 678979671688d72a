import type { LogOptions } from './engine.ts';
import { parseLogLine, toUtc } from './log-line.ts';

const NEWLINE = 0x0a;
const SPACE = 0x20;
const PARTIAL = 0x50;
const FULL = 0x46;
/** `2026-11-23T04:59:21.138472633+00:00`, as conmon writes it, then ` stdout F `. */
const TIME_BYTES = 35;
const STREAM_AT = TIME_BYTES + 1;
const TAG_AT = STREAM_AT + 'stdout '.length;
const CONTENT_AT = TAG_AT + 2;
/** Of the time: up to the nanoseconds, without the zone. */
const MOMENT_BYTES = 29;
const OUT_OF_ERR = 'o'.charCodeAt(0);
const FRAME_BYTES = 8;
/** Shorter pieces are quicker copied byte by byte than by a call. */
const COPIED_BY_HAND = 48;
/** No log line is longer; a file without newlines is no log. */
const MAX_LINE_BYTES = 1 << 20;
const NOTHING: Buffer = Buffer.alloc(0);

type RenderOptions = Pick<LogOptions, 'stream' | 'sinceMs' | 'since' | 'until' | 'timestamps' | 'limitBytes' | 'linePrefix' | 'frames'>;

/**
 * Turns a log file's bytes into what the container wrote, block by block, and makes nothing for a single line: a gigabyte is a few seconds'
 * work. What one call returns is alone in its memory.
 */
export class LogRenderer {
  readonly #wanted: 'all' | 'stdout' | 'stderr';
  readonly #since: string | undefined;
  readonly #until: string | undefined;
  readonly #timestamps: boolean;
  readonly #prefix: Buffer;
  readonly #isFramed: boolean;
  #bytesLeft: number;
  #carry: Buffer = NOTHING;
  #out: Buffer = NOTHING;
  #at = 0;
  /** Where the last frame of this block begins, if its line goes on; else -1. */
  #openFrameAt = -1;
  /** Streams in the middle of a line. */
  #stdoutIsOpen = false;
  #stderrIsOpen = false;
  #isOver = false;

  constructor({ stream = 'all', sinceMs, since, until, timestamps = false, limitBytes, linePrefix = '', frames }: RenderOptions) {
    this.#wanted = stream;
    this.#since = toMoment(since ?? (sinceMs === undefined ? undefined : new Date(sinceMs).toISOString()));
    this.#until = toMoment(until);
    this.#timestamps = timestamps;
    this.#prefix = Buffer.from(linePrefix);
    this.#isFramed = frames !== undefined;
    this.#bytesLeft = limitBytes ?? Number.POSITIVE_INFINITY;
  }

  /** Nothing more will be given out: `limitBytes` have been, or the lines are past `until`. */
  get isFull(): boolean {
    return this.#isOver || this.#bytesLeft <= 0;
  }

  render(block: Buffer): Buffer {
    this.#out = Buffer.allocUnsafeSlow(this.#carry.length + block.length + 1024);
    this.#at = 0;
    this.#openFrameAt = -1;
    let end = block.indexOf(NEWLINE);
    let start = 0;
    if (this.#carry.length > 0 && end >= 0) {
      const line = Buffer.concat([this.#carry, block.subarray(0, end)]);
      this.#carry = NOTHING;
      this.#renderLine(line, 0, line.length);
      start = end + 1;
      end = block.indexOf(NEWLINE, start);
    }
    for (; end >= 0 && !this.isFull; end = block.indexOf(NEWLINE, start)) {
      this.#renderLine(block, start, end);
      start = end + 1;
    }
    this.#keep(block.subarray(start));
    const length = Math.min(this.#at, this.#bytesLeft);
    this.#bytesLeft -= length;
    return this.#out.subarray(0, length);
  }

  /** The beginning of a line whose end is in a block to come; never the block's own memory, which is read into again. */
  #keep(rest: Buffer): void {
    this.#carry = this.#carry.length + rest.length > MAX_LINE_BYTES ? NOTHING : Buffer.concat([this.#carry, rest]);
  }

  #renderLine(input: Buffer, start: number, end: number): void {
    const content = start + CONTENT_AT;
    const tag = input[start + TAG_AT];
    const isPlain =
      end >= content &&
      input[start + TIME_BYTES] === SPACE &&
      input[start + TAG_AT - 1] === SPACE &&
      input[content - 1] === SPACE &&
      (tag === FULL || tag === PARTIAL);
    if (!isPlain) {
      this.#renderOddLine(input.subarray(start, end));
      return;
    }
    const isStdout = input[start + STREAM_AT + 'std'.length] === OUT_OF_ERR;
    if (this.#leavesOut(isStdout)) return;
    const time = this.#needsTime ? timeOf(input, start) : '';
    this.#give(isStdout, tag === PARTIAL, time, input, content, end);
  }

  /** Of another writer than conmon, or none of a log. */
  #renderOddLine(bytes: Buffer): void {
    const line = parseLogLine(bytes);
    if (!line || this.#leavesOut(line.stream === 'stdout')) return;
    this.#give(line.stream === 'stdout', line.isPartial, toUtc(line.time), line.content, 0, line.content.length);
  }

  get #needsTime(): boolean {
    return this.#timestamps || this.#since !== undefined || this.#until !== undefined;
  }

  #leavesOut(isStdout: boolean): boolean {
    return this.#wanted !== 'all' && (this.#wanted === 'stdout') !== isStdout;
  }

  #give(isStdout: boolean, isPartial: boolean, time: string, input: Buffer, start: number, end: number): void {
    if (this.#since !== undefined && toMoment(time)! < this.#since) return;
    if (this.#until !== undefined && toMoment(time)! > this.#until) {
      this.#isOver = true;
      return;
    }
    const isContinued = isStdout ? this.#stdoutIsOpen : this.#stderrIsOpen;
    if (isStdout) this.#stdoutIsOpen = isPartial;
    else this.#stderrIsOpen = isPartial;
    const length = end - start;
    this.#makeRoom(FRAME_BYTES + time.length + this.#prefix.length + length + 2);
    // The rest of a line right behind its beginning is in one frame with it.
    const header =
      isContinued && this.#openFrameAt >= 0 && this.#out[this.#openFrameAt] === (isStdout ? 1 : 2) ? this.#openFrameAt : this.#at;
    if (this.#isFramed && header === this.#at) this.#at += FRAME_BYTES;
    this.#openFrameAt = this.#isFramed && isPartial ? header : -1;
    if (!isContinued) this.#giveHead(time);
    this.#copy(input, start, length);
    if (!isPartial) this.#out[this.#at++] = NEWLINE;
    if (this.#isFramed) writeFrame(this.#out, header, isStdout ? 1 : 2, this.#at - header - FRAME_BYTES);
  }

  #giveHead(time: string): void {
    if (this.#timestamps) {
      this.#at += this.#out.write(time, this.#at, 'latin1');
      this.#out[this.#at++] = SPACE;
    }
    if (this.#prefix.length > 0) this.#copy(this.#prefix, 0, this.#prefix.length);
  }

  #copy(from: Buffer, start: number, length: number): void {
    const out = this.#out;
    if (length > COPIED_BY_HAND) from.copy(out, this.#at, start, start + length);
    else for (let i = 0, at = this.#at; i < length; i++) out[at + i] = from[start + i]!;
    this.#at += length;
  }

  #makeRoom(bytes: number): void {
    if (this.#at + bytes <= this.#out.length) return;
    const larger = Buffer.allocUnsafeSlow((this.#at + bytes) * 2);
    this.#out.copy(larger, 0, 0, this.#at);
    this.#out = larger;
  }
}

/** Docker's header of a frame: the stream, three zeros, the length. */
export function writeFrame(out: Buffer, at: number, stream: 0 | 1 | 2 | 3, length: number): void {
  out[at] = stream;
  out[at + 1] = 0;
  out[at + 2] = 0;
  out[at + 3] = 0;
  out[at + 4] = length >>> 24;
  out[at + 5] = (length >>> 16) & 0xff;
  out[at + 6] = (length >>> 8) & 0xff;
  out[at + 7] = length & 0xff;
}

/** In UTC: `2026-11-23T04:05:06.123456789Z`. */
function timeOf(input: Buffer, start: number): string {
  const isUtc =
    input[start + MOMENT_BYTES + 1] === 0x30 && input[start + MOMENT_BYTES + 2] === 0x30 && input[start + MOMENT_BYTES + 4] === 0x30;
  return isUtc && input[start + MOMENT_BYTES + 5] === 0x30
    ? `${input.toString('latin1', start, start + MOMENT_BYTES)}Z`
    : toUtc(input.toString('latin1', start, start + TIME_BYTES));
}

/** A time as text that sorts: nanoseconds filled up, no zone. */
function toMoment(time: string | undefined): string | undefined {
  if (time === undefined) return undefined;
  const moment = time.endsWith('Z') ? time.slice(0, -1) : time;
  if (moment.length === MOMENT_BYTES) return moment;
  return (moment.includes('.') ? moment : `${moment}.`).padEnd(MOMENT_BYTES, '0');
}
