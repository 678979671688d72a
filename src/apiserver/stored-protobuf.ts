import { envelopeOf, protobufPlanOf, TAIL, toMessage } from './protobuf/envelope.ts';
import { wrapMessage } from './protobuf/watch-event.ts';
import type { Served } from './resources.ts';
import { shownObject } from './shown.ts';
import type { StoredObject } from './stored-object.ts';

/** A stored object's protobuf message in the served version, made once. Its kind has one. */
export function messageOf(served: Served, object: StoredObject): Buffer {
  const { apiVersion, resource } = served;
  return object.encodedAs(apiVersion, () => toMessage(protobufPlanOf(apiVersion, resource.kind)!, shownObject(served, object)));
}

/** The object in its envelope: the body of an answer. */
export function protobufOf(served: Served, object: StoredObject): Buffer {
  const message = messageOf(served, object);
  return Buffer.concat([envelopeOf(served.apiVersion, served.resource.kind, message.length), message, TAIL]);
}

/** The object in a watch event in its frame. */
export function watchFrameOf(type: string, served: Served, object: StoredObject): Buffer {
  return wrapMessage(type, served.apiVersion, served.resource.kind, messageOf(served, object));
}
