import { toTime } from '#base/clock.ts';
import { newUid } from '#base/ids.ts';
import { isMeaningEqual } from '#kinds/json-equal.ts';
import type { KubeObject } from '#kinds/kind.ts';
import type { Served } from './resources.ts';

type WithSpec = KubeObject & { spec?: unknown; status?: unknown };

/** Kinds with a spec whose generation upstream never sets. */
const WITHOUT_GENERATION = new Set([
  'Namespace',
  'Node',
  'Service',
  'PersistentVolume',
  'PersistentVolumeClaim',
  'Lease',
  'LimitRange',
  'ResourceQuota',
  'IPAddress',
  'CSIDriver',
  'CSINode',
]);

/** Kinds whose objects may be made with a status: a kubelet registers its node with what it has. */
const COMES_WITH_STATUS = new Set(['Node']);

/** What the server alone decides at creation; clears what a client may not set. */
export function prepareMetadataForCreate(served: Served, object: KubeObject, nowMs: number): void {
  const { metadata } = object;
  metadata.uid = newUid();
  metadata.creationTimestamp = timeOf(nowMs);
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.selfLink;
  metadata.resourceVersion = '';
  if (countsGenerations(served, object)) metadata.generation = 1;
  else delete metadata.generation;
  if (hasStatusSubresource(served) && !COMES_WITH_STATUS.has(served.storedKind.resource.kind)) delete (object as WithSpec).status;
}

/** Keeps from `old` what an update may not change, and counts the spec's changes. */
export function prepareMetadataForUpdate(served: Served, object: KubeObject, old: KubeObject): void {
  const { metadata } = object;
  keep(metadata, old.metadata, [
    'name',
    'namespace',
    'uid',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'generation',
    'generateName',
  ]);
  delete metadata.selfLink;
  if (hasStatusSubresource(served)) keep(object as WithSpec, old as WithSpec, ['status']);
}

/** After all that may change the spec. */
export function countGeneration(served: Served, object: KubeObject, old: KubeObject): void {
  if (!countsGenerations(served, object)) return;
  if (!isMeaningEqual((object as WithSpec).spec, (old as WithSpec).spec)) object.metadata.generation = (old.metadata.generation ?? 0) + 1;
}

function countsGenerations({ storedKind }: Served, object: KubeObject): boolean {
  return 'spec' in object && !WITHOUT_GENERATION.has(storedKind.resource.kind);
}

export function hasStatusSubresource({ resource }: Served): boolean {
  return resource.subresources?.some(({ name }) => name === 'status') ?? false;
}

function keep<T extends object>(target: T, from: T, fields: (keyof T)[]): void {
  for (const field of fields) {
    if (from[field] === undefined) delete target[field];
    else target[field] = from[field];
  }
}

let lastSecond = Number.NaN;
let lastTime = '';

/** `toTime`, remembered for the second. */
export function timeOf(ms: number): string {
  const second = Math.floor(ms / 1000);
  if (second !== lastSecond) {
    lastSecond = second;
    lastTime = toTime(ms);
  }
  return lastTime;
}
