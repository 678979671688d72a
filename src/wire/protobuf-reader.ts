import { UmiakError } from '#base/errors.ts';

/** One field as it stands on the wire: its number and its value, which only the schema can tell apart further. */
export type WireField = { number: number } & (
  | { type: 'varint'; value: bigint }
  | { type: 'fixed'; bytes: Buffer }
  | { type: 'bytes'; bytes: Buffer }
);

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/**
 * The fields of one protobuf message (encoding as of protobuf.dev, groups refused), in order.
 * @throws `BadRequest` for bytes that are no message
 */
export function* readFields(bytes: Buffer): Generator<WireField> {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw malformed('ends in the middle of a number');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw malformed('has a number longer than 10 bytes');
  };
  const take = (length: number): Buffer => {
    if (length > bytes.length - at) throw malformed('ends in the middle of a field');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = Number(tag >> 3n);
    const wireType = Number(tag & 7n);
    if (number === 0 || number > 536_870_911) throw malformed(`has a field number ${number}`);
    if (wireType === VARINT) yield { number, type: 'varint', value: varint() };
    else if (wireType === LENGTH_DELIMITED) yield { number, type: 'bytes', bytes: take(Number(varint())) };
    else if (wireType === FIXED64 || wireType === FIXED32) yield { number, type: 'fixed', bytes: take(wireType === FIXED64 ? 8 : 4) };
    else throw malformed(`has a field of wire type ${wireType}`);
  }
}

function malformed(what: string): UmiakError {
  return new UmiakError('BadRequest', `the protobuf body ${what}`);
}
