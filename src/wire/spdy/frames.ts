import { UmiakError } from '#base/errors.ts';

/** Control frames of SPDY/3.1 (draft 3.1, 2.6). */
export const FRAME = { synStream: 1, synReply: 2, rstStream: 3, settings: 4, ping: 6, goAway: 7, headers: 8, windowUpdate: 9 } as const;
export const FLAG_FIN = 0x01;
/** Codes of RST_STREAM. */
export const STATUS = { protocolError: 1, invalidStream: 2, refusedStream: 3, cancel: 5, internalError: 6 } as const;

const VERSION = 3;
const HEAD_BYTES = 8;
/** Data arrives as it comes, however long its frame is; a control frame must fit here. */
const MOST_CONTROL_BYTES = 64 << 10;

export type Frame =
  | { type: 'control'; kind: number; flags: number; payload: Buffer }
  /** A part of a data frame; `fin` stands with the last. */
  | { type: 'data'; streamId: number; fin: boolean; payload: Buffer };

/** Cuts a stream of bytes into frames; data frames are handed on in the parts they arrive in. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);
  #data: { streamId: number; fin: boolean; left: number } | undefined;

  /** @throws `BadRequest` for what is not SPDY/3.1 */
  *read(chunk: Buffer): Generator<Frame> {
    let bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    for (;;) {
      if (this.#data) {
        const { streamId, fin, left } = this.#data;
        if (bytes.length === 0 && left > 0) break;
        const payload = bytes.subarray(0, left);
        bytes = bytes.subarray(payload.length);
        const isLast = payload.length === left;
        this.#data = isLast ? undefined : { streamId, fin, left: left - payload.length };
        yield { type: 'data', streamId, fin: fin && isLast, payload };
        continue;
      }
      if (bytes.length < HEAD_BYTES) break;
      const [head, flags, length] = [bytes.readUInt32BE(0), bytes.readUInt8(4), bytes.readUIntBE(5, 3)];
      if (head >>> 31 === 0) {
        bytes = bytes.subarray(HEAD_BYTES);
        this.#data = { streamId: head, fin: (flags & FLAG_FIN) !== 0, left: length };
        continue;
      }
      const version = (head >>> 16) & 0x7fff;
      if (version !== VERSION) throw new UmiakError('BadRequest', `SPDY: version ${version} is not spoken here, only 3.1`);
      if (length > MOST_CONTROL_BYTES) throw new UmiakError('BadRequest', `SPDY: a control frame of ${length} bytes is too long`);
      if (bytes.length < HEAD_BYTES + length) break;
      const payload = bytes.subarray(HEAD_BYTES, HEAD_BYTES + length);
      bytes = bytes.subarray(HEAD_BYTES + length);
      yield { type: 'control', kind: head & 0xffff, flags, payload };
    }
    this.#rest = bytes;
  }
}

export function controlFrame(kind: number, flags: number, ...parts: Buffer[]): Buffer {
  const payload = Buffer.concat(parts);
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE((0x80000000 | (VERSION << 16) | kind) >>> 0);
  head.writeUInt32BE(((flags << 24) | payload.length) >>> 0, 4);
  return Buffer.concat([head, payload]);
}

/** The head of a data frame, whose payload follows as it is. */
export function dataHead(streamId: number, flags: number, length: number): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE(streamId);
  head.writeUInt32BE(((flags << 24) | length) >>> 0, 4);
  return head;
}

export function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, index * 4);
  return bytes;
}
