import { newUid } from '#base/ids.ts';
import { isObject } from '#base/json-object.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { brief } from '../brief.ts';

/** A ConversionReview to send, in the newest version that both sides know. */
export interface Review {
  uid: string;
  body: object;
}

/** Asks for `objects` in another version. */
export function toReview(reviewVersions: readonly string[], desiredAPIVersion: string, objects: readonly KubeObject[]): Review {
  const version = reviewVersions.find(each => each === 'v1' || each === 'v1beta1');
  if (!version) throw new Error('the webhook accepts neither v1 nor v1beta1 ConversionReviews');
  const uid = newUid();
  const request = { uid, desiredAPIVersion, objects };
  return { uid, body: { apiVersion: `apiextensions.k8s.io/${version}`, kind: 'ConversionReview', request } };
}

/**
 * The objects of the answer, which may differ from those sent in all but their identity: of the metadata only labels and annotations are
 * taken. @throws Error that says what is wrong with the answer
 */
export function fromReview(answer: unknown, { uid }: Review, desiredAPIVersion: string, sent: readonly KubeObject[]): KubeObject[] {
  const response = isObject(answer) ? answer.response : undefined;
  if (!isObject(response)) throw new Error('the answer has no response');
  if (response.uid !== uid) throw new Error(`expected response.uid="${uid}", got ${JSON.stringify(response.uid)}`);
  const { result, convertedObjects } = response;
  if (!isObject(result) || result.status !== 'Success')
    throw new Error(isObject(result) && typeof result.message === 'string' && result.message !== '' ? result.message : 'no reason given');
  const objects = Array.isArray(convertedObjects) ? (convertedObjects as unknown[]) : [];
  if (objects.length !== sent.length) throw new Error(`returned ${objects.length} objects, expected ${sent.length}`);
  return objects.map((object, i) => checked(object, i, desiredAPIVersion, sent[i]!));
}

function checked(object: unknown, index: number, apiVersion: string, sent: KubeObject): KubeObject {
  const refuse = (why: string): never => {
    throw new Error(`returned invalid converted object at index ${index}: ${why}`);
  };
  if (!isObject(object)) return refuse('it is no object');
  if (object.apiVersion !== apiVersion)
    return refuse(`invalid groupVersion (expected ${apiVersion}, received ${brief(object.apiVersion, 200)})`);
  if (object.kind !== sent.kind) return refuse(`invalid kind (expected ${sent.kind}, received ${brief(object.kind, 200)})`);
  const { metadata } = object;
  if (!isObject(metadata)) return refuse('invalid metadata');
  for (const key of ['name', 'namespace', 'uid'] as const)
    if ((metadata[key] ?? '') !== (sent.metadata[key] ?? ''))
      return refuse(`must have the same ${key}: ${brief(metadata[key], 200)} != ${sent.metadata[key]}`);
  const kept = { ...sent.metadata };
  for (const key of ['labels', 'annotations'] as const) {
    const value = metadata[key];
    delete kept[key];
    if (isStringMap(value)) kept[key] = value;
    else if (value !== undefined && value !== null) return refuse(`invalid metadata.${key}`);
  }
  return { ...object, apiVersion, kind: sent.kind, metadata: kept };
}

function isStringMap(value: unknown): value is Record<string, string> {
  return isObject(value) && Object.values(value).every(each => typeof each === 'string');
}
