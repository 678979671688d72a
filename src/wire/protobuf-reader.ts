import { UmiakError } from '#base/errors.ts';

export const VARINT = 0;
export const FIXED64 = 1;
export const LENGTH_DELIMITED = 2;
export const FIXED32 = 5;

/** The highest numbers below 2⁶³ and 2⁶⁴: these themselves would be written as others. */
const MOST_SIGNED = 2 ** 63 - 1024;
const MOST_UNSIGNED = 2 ** 64 - 2048;

/**
 * Reads one protobuf message from its bytes (encoding as of protobuf.dev; groups are refused): `next` steps to a field, then one of
 * the other methods takes its value. All throw `BadRequest` for bytes that are no message.
 */
export class ProtobufReader {
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;
  /** Of the field that `next` stepped to. */
  number = 0;
  wireType = 0;

  constructor(bytes: Buffer, from = 0, to = bytes.length) {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = to;
  }

  /** Steps to the next field; false at the message's end. */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    const tag = this.#varint();
    this.number = Math.floor(tag / 8);
    this.wireType = tag % 8;
    if (this.number === 0 || this.number > 536_870_911) throw malformed(`has a field number ${this.number}`);
    return true;
  }

  /** The number of a varint field, as a signed 64-bit integer; beyond 2⁵³ the nearest that a number of 64 bits can be. */
  integer(): number {
    this.#expect(VARINT);
    return this.#varint(true);
  }

  /** The same, unsigned. */
  unsigned(): number {
    this.#expect(VARINT);
    return this.#varint();
  }

  /** Adds the numbers of a repeated field, packed or one by one. @throws `BadRequest` for more than `most` in all */
  integersInto(list: number[], { signed, most }: { signed: boolean; most: number }): void {
    const add = (reader: ProtobufReader) => {
      if (list.length >= most) throw malformed(`has more than ${most} numbers in field ${this.number}`);
      list.push(reader.#varint(signed));
    };
    if (this.wireType === LENGTH_DELIMITED) for (const packed = this.message(); packed.#at < packed.#end; ) add(packed);
    else {
      this.#expect(VARINT);
      add(this);
    }
  }

  double(): number {
    this.#expect(FIXED64);
    return this.#bytes.readDoubleLE(this.#take(8));
  }

  string(): string {
    const [from, to] = this.#range();
    return this.#bytes.toString('utf8', from, to);
  }

  /** A view of the bytes, not a copy. */
  bytes(): Buffer {
    const [from, to] = this.#range();
    return this.#bytes.subarray(from, to);
  }

  /** A reader of the message within. */
  message(): ProtobufReader {
    const [from, to] = this.#range();
    return new ProtobufReader(this.#bytes, from, to);
  }

  /** Passes over a field that nobody knows. */
  skip(): void {
    if (this.wireType === VARINT) this.#varint();
    else if (this.wireType === LENGTH_DELIMITED) this.#range();
    else if (this.wireType === FIXED64) this.#take(8);
    else if (this.wireType === FIXED32) this.#take(4);
    else throw malformed(`has a field of wire type ${this.wireType}`);
  }

  #expect(wireType: number): void {
    if (this.wireType !== wireType) throw malformed(`has field ${this.number} with the wrong wire type`);
  }

  #range(): [from: number, to: number] {
    this.#expect(LENGTH_DELIMITED);
    const length = this.#varint();
    const from = this.#take(length);
    return [from, from + length];
  }

  #take(length: number): number {
    const from = this.#at;
    if (length > this.#end - from) throw malformed('ends in the middle of a field');
    this.#at = from + length;
    return from;
  }

  #varint(signed = false): number {
    let low = 0;
    let high = 0;
    for (let i = 0; i < 10; i++) {
      if (this.#at >= this.#end) throw malformed('ends in the middle of a number');
      const byte = this.#bytes[this.#at++]!;
      const bits = byte & 0x7f;
      if (i < 4) low |= bits << (7 * i);
      else if (i === 4) {
        low |= (bits & 0xf) << 28;
        high = bits >>> 4;
      } else high |= bits << (7 * i - 32);
      if (byte < 0x80) return Math.min((signed ? high | 0 : high >>> 0) * 2 ** 32 + (low >>> 0), signed ? MOST_SIGNED : MOST_UNSIGNED);
    }
    throw malformed('has a number longer than 10 bytes');
  }
}

function malformed(what: string): UmiakError {
  return new UmiakError('BadRequest', `the protobuf body ${what}`);
}
