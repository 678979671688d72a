import { FIXED64, LENGTH_DELIMITED, VARINT } from './protobuf-reader.ts';

/**
 * Writes one protobuf message from its end to its beginning, so that the length of what is nested is known when it is to be written:
 * fields are given last first, each value before its tag.
 */
export class ProtobufWriter {
  #buffer: Buffer;
  #at: number;

  constructor(sizeBytes = 4096) {
    this.#buffer = Buffer.allocUnsafe(sizeBytes);
    this.#at = sizeBytes;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#buffer.length - this.#at;
  }

  /** What was written, as a copy of its own; the writer starts anew. */
  finish(): Buffer {
    const whole = Buffer.from(this.#buffer.subarray(this.#at));
    this.#at = this.#buffer.length;
    return whole;
  }

  stringField(number: number, text: string): void {
    const length = text.length;
    this.#room(length * 3 + 16);
    const from = this.#at;
    // Most text is short and ASCII: quicker here than by a call for each string.
    if (length < 64) {
      const buffer = this.#buffer;
      let at = from;
      let i = length - 1;
      for (; i >= 0; i--) {
        const code = text.charCodeAt(i);
        if (code > 0x7f) break;
        buffer[--at] = code;
      }
      if (i < 0) {
        this.#at = at;
        this.closeField(number, this.#buffer.length - from);
        return;
      }
    }
    const bytes = Buffer.byteLength(text);
    this.#at = from - bytes;
    this.#buffer.write(text, this.#at);
    this.closeField(number, this.#buffer.length - from);
  }

  bytesField(number: number, bytes: Uint8Array): void {
    const before = this.length;
    this.raw(bytes);
    this.closeField(number, before);
  }

  /** A whole number of 64 bits, also one below zero; what is none is written as 0. */
  integerField(number: number, value: number): void {
    this.#room(24);
    this.#integer(value);
    this.#tag(number, VARINT);
  }

  /** The numbers of a repeated field, packed. */
  integersField(number: number, values: readonly number[]): void {
    const before = this.length;
    for (let i = values.length - 1; i >= 0; i--) {
      this.#room(24);
      this.#integer(values[i]!);
    }
    this.closeField(number, before);
  }

  doubleField(number: number, value: number): void {
    this.#room(24);
    this.#at -= 8;
    this.#buffer.writeDoubleLE(value, this.#at);
    this.#tag(number, FIXED64);
  }

  /** Puts length and tag before a message or text that was written since the writer's length was `before`. */
  closeField(number: number, before: number): void {
    this.#room(24);
    this.#varint(this.length - before);
    this.#tag(number, LENGTH_DELIMITED);
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#at -= bytes.length;
    this.#buffer.set(bytes, this.#at);
  }

  #tag(number: number, wireType: number): void {
    if (number < 16) this.#buffer[--this.#at] = (number << 3) | wireType;
    else this.#varint(number * 8 + wireType);
  }

  #integer(value: number): void {
    if (value < 0 && value >= -(2 ** 63)) this.#negative(value);
    else this.#varint(value < 2 ** 64 && value >= 0 ? Math.trunc(value) : 0);
  }

  #varint(value: number): void {
    const buffer = this.#buffer;
    if (value < 0x80) {
      buffer[--this.#at] = value;
      return;
    }
    let length = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) length++;
    let at = this.#at - length;
    this.#at = at;
    for (; value >= 0x80; value = Math.floor(value / 128)) buffer[at++] = (value % 128) | 0x80;
    buffer[at] = value;
  }

  #negative(value: number): void {
    let rest = BigInt.asUintN(64, BigInt(Math.trunc(value)));
    let at = this.#at - 10;
    this.#at = at;
    for (; rest >= 0x80n; rest >>= 7n) this.#buffer[at++] = Number(rest & 0x7fn) | 0x80;
    this.#buffer[at] = Number(rest);
  }

  #room(bytes: number): void {
    if (this.#at >= bytes) return;
    const written = this.length;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, written + bytes + 64));
    this.#buffer.copy(larger, larger.length - written, this.#at);
    this.#at = larger.length - written;
    this.#buffer = larger;
  }
}
