import { envelopeOf, fieldHead, TAIL, toProtobuf } from './envelope.ts';

/** A watch event of any object, in its frame. */
export function toWatchFrame(type: string, object: unknown): Buffer {
  return framed(type, [toProtobuf(object)]);
}

/** A watch event around an object's message. */
export function wrapMessage(type: string, apiVersion: string, kind: string, message: Buffer): Buffer {
  return framed(type, [envelopeOf(apiVersion, kind, message.length), message, TAIL]);
}

/** Four bytes of length, then a `WatchEvent` (without an envelope) whose object is enveloped bytes. */
function framed(type: string, object: Buffer[]): Buffer {
  const objectBytes = object.reduce((sum, part) => sum + part.length, 0);
  const raw = fieldHead(1, objectBytes);
  const head = Buffer.concat([fieldHead(1, type.length), Buffer.from(type, 'latin1'), fieldHead(2, raw.length + objectBytes), raw]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(head.length + objectBytes);
  return Buffer.concat([length, head, ...object]);
}
