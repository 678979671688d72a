import { toTime } from '#base/clock.ts';
import type { Kind, KubeObject } from '#kinds/kind.ts';

/** `metav1.DeleteOptions`. */
export interface DeleteOptions {
  gracePeriodSeconds?: number;
  propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  preconditions?: { uid?: string; resourceVersion?: string };
}

/** What a deletion does to an object now: take it away, mark it (`object` is its new form), or nothing more than has been done. */
export interface DeletionPlan {
  action: 'remove' | 'mark' | 'nothing';
  object: KubeObject;
}

type Doomed = KubeObject & {
  spec?: { nodeName?: string; terminationGracePeriodSeconds?: number; finalizers?: string[] };
  status?: { phase?: string };
};

/** Decides by grace period, finalizers and propagation. Changes `object`. */
export function planDeletion(kind: Kind, object: KubeObject, options: DeleteOptions, nowMs: number): DeletionPlan {
  const { metadata } = object;
  if (!metadata.deletionTimestamp) kind.prepareForDelete?.(object, nowMs);
  const finalizersChanged = setPropagation(object, options.propagationPolicy ?? defaultPropagation(kind, object));
  const graceful = kind.resource.kind === 'Pod' && kind.resource.group === '';
  const grace = graceful ? graceOf(object, options) : 0;
  const held = (metadata.finalizers?.length ?? 0) > 0 || isHeldNamespace(kind, object);

  if (metadata.deletionTimestamp) {
    const present = metadata.deletionGracePeriodSeconds ?? 0;
    if (grace >= present && (held || present > 0)) return { action: finalizersChanged ? 'mark' : 'nothing', object };
    if (grace === 0 && !held) return { action: 'remove', object };
    metadata.deletionTimestamp = toTime(Math.min(nowMs, Date.parse(metadata.deletionTimestamp) - present * 1000) + grace * 1000);
    metadata.deletionGracePeriodSeconds = grace;
    return { action: 'mark', object };
  }
  if (grace === 0 && !held) return { action: 'remove', object };
  metadata.deletionTimestamp = toTime(nowMs + grace * 1000);
  metadata.deletionGracePeriodSeconds = grace;
  if (metadata.generation) metadata.generation++;
  if (kind.resource.kind === 'Namespace') {
    const namespace = object as Doomed;
    namespace.status = { ...namespace.status, phase: 'Terminating' };
  }
  return { action: 'mark', object };
}

/** Seconds a pod gets: none when no node runs it or it has ended. */
function graceOf(object: Doomed, { gracePeriodSeconds }: DeleteOptions): number {
  const { spec, status, metadata } = object;
  if (!spec?.nodeName || status?.phase === 'Failed' || status?.phase === 'Succeeded') return 0;
  const asked =
    gracePeriodSeconds ??
    (metadata.deletionTimestamp ? metadata.deletionGracePeriodSeconds : undefined) ??
    spec.terminationGracePeriodSeconds ??
    30;
  return asked < 0 ? 1 : asked;
}

/** A namespace stays until its contents are gone: `spec.finalizers` says so. */
export function isHeldNamespace({ resource }: Kind, object: Doomed): boolean {
  return resource.kind === 'Namespace' && resource.group === '' && (object.spec?.finalizers?.length ?? 0) > 0;
}

/** What they own outlives them unless the client says otherwise: so it was when their versions were made. */
const ORPHANING = new Set(['/ReplicationController', 'batch/Job']);

/** Whether a deletion that says nothing of dependents leaves them. */
export function orphansByDefault({ resource: { group, kind } }: Kind): boolean {
  return ORPHANING.has(`${group}/${kind}`);
}

function defaultPropagation(kind: Kind, { metadata: { finalizers = [] } }: KubeObject): DeleteOptions['propagationPolicy'] {
  if (!orphansByDefault(kind) || finalizers.includes('foregroundDeletion')) return undefined;
  return 'Orphan';
}

/** Writes the policy into the finalizers, where the garbage collector reads it. */
function setPropagation({ metadata }: KubeObject, policy: DeleteOptions['propagationPolicy']): boolean {
  if (!policy) return false;
  const wanted = { Orphan: 'orphan', Foreground: 'foregroundDeletion', Background: undefined }[policy];
  const before = metadata.finalizers ?? [];
  const after = before.filter(name => name !== 'orphan' && name !== 'foregroundDeletion');
  if (wanted) after.push(wanted);
  if (after.length === before.length && after.every(name => before.includes(name))) return false;
  if (after.length > 0) metadata.finalizers = after;
  else delete metadata.finalizers;
  return true;
}
