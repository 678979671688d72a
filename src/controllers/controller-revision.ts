import { requirementsOf } from '#base/index.ts';
import { controllerOf, type ReconcileClient } from '#client/index.ts';
import { ControllerRevision } from '#kinds/controller-revision.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import type { Draft, Kind, KubeObject } from '#kinds/kind.ts';
import { templateHash } from '#kinds/pod-template.ts';
import type { LabelSelector, PodTemplateSpec } from '#kinds/types.gen.ts';
import { ignoreAbsent, ignorePresent } from './absence.ts';
import { claim, ownerReferenceTo } from './claim.ts';

/** A DaemonSet or StatefulSet: its templates' history is kept as ControllerRevisions. */
export interface Revisioned extends KubeObject {
  spec: { template: PodTemplateSpec; selector: LabelSelector; revisionHistoryLimit?: number | undefined };
  status?: { collisionCount?: number | undefined } | undefined;
}

/** The label of a pod that names its revision. */
export const REVISION_LABEL = 'controller-revision-hash';
const NAME_PREFIX = 223;

/** A template as a revision holds it: the strategic merge patch that brings it back, keys sorted as kubectl compares it. */
export function revisionData(template: PodTemplateSpec): Record<string, unknown> {
  return sorted({ spec: { template: { ...template, $patch: 'replace' } } }) as Record<string, unknown>;
}

/** The template that a revision holds. */
export function templateOfRevision({ data }: ControllerRevision): PodTemplateSpec {
  const { spec } = data as { spec: { template: PodTemplateSpec & { $patch?: string } } };
  const { $patch: _, ...template } = spec.template;
  return template;
}

/** The revision of the present template, if there is one, and the number it must bear: the newest. Pure. */
export function planRevision(
  revisions: readonly ControllerRevision[],
  template: PodTemplateSpec,
): { found: ControllerRevision | undefined; number: number } {
  const newest = revisions.reduce((most, { revision }) => Math.max(most, revision), 0);
  const data = revisionData(template);
  const found = byRevision(revisions.filter(one => jsonEqual(one.data, data))).at(-1);
  return { found, number: found && found.revision === newest ? newest : newest + 1 };
}

/** Old revisions that nobody lives by and that are too many, oldest first. Pure. */
export function planTruncation(revisions: readonly ControllerRevision[], live: ReadonlySet<string>, limit = 10): ControllerRevision[] {
  const idle = byRevision(revisions.filter(({ metadata }) => !live.has(metadata.name)));
  return idle.slice(0, Math.max(0, idle.length - limit));
}

/** Whose revisions are meant, and how they are labelled. */
export interface History<T extends Revisioned> {
  client: ReconcileClient;
  kind: Kind<T>;
  owner: T;
  /** The label of a revision that holds its hash. */
  hashLabel: string;
}

/** The owner's revisions, adopted and released by its selector. */
export async function claimRevisions<T extends Revisioned>({ client, kind, owner }: History<T>): Promise<ControllerRevision[]> {
  if (requirementsOf(owner.spec.selector).length === 0) return [];
  return claim(client, { owner, ownerKind: kind, kind: ControllerRevision, selector: owner.spec.selector });
}

/**
 * The revision of the owner's present template: found and made the newest, or created. Undefined when a foreign one has its name:
 * then the collision has been counted in the owner's status, and the next reconcile takes another name.
 */
export async function ensureRevision<T extends Revisioned>(
  history: History<T>,
  revisions: readonly ControllerRevision[],
): Promise<ControllerRevision | undefined> {
  const { client, kind, owner, hashLabel } = history;
  const { found, number } = planRevision(revisions, owner.spec.template);
  if (found)
    return found.revision === number ? found : client.patch(ControllerRevision, found.metadata, { revision: number }, { type: 'merge' });
  const hash = templateHash(owner.spec.template, owner.status?.collisionCount);
  const draft = newRevision(history, hash, hashLabel, number);
  const made = await ignorePresent(client.create(ControllerRevision, draft));
  if (made) return made;
  const present = await client.getLive(ControllerRevision, { ...owner.metadata, name: draft.metadata.name ?? '' });
  if (present && controllerOf(present)?.uid === owner.metadata.uid && jsonEqual(present.data, draft.data)) return present;
  const status = { ...owner.status, collisionCount: (owner.status?.collisionCount ?? 0) + 1 };
  await client.patch(kind, owner.metadata, { status }, { type: 'merge', subresource: 'status' });
  return undefined;
}

/** Deletes what `planTruncation` names. */
export async function truncateRevisions<T extends Revisioned>(
  { client, owner }: History<T>,
  revisions: readonly ControllerRevision[],
  live: ReadonlySet<string>,
): Promise<void> {
  for (const old of planTruncation(revisions, live, owner.spec.revisionHistoryLimit)) {
    if (!old.metadata.deletionTimestamp) await ignoreAbsent(client.delete(ControllerRevision, old.metadata));
  }
}

function newRevision<T extends Revisioned>(
  { kind, owner }: History<T>,
  hash: string,
  hashLabel: string,
  revision: number,
): Draft<ControllerRevision> {
  const { name, namespace, annotations } = owner.metadata;
  return {
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata: {
      name: `${name.slice(0, NAME_PREFIX)}-${hash}`,
      ...(namespace ? { namespace } : {}),
      labels: { ...owner.spec.template.metadata?.labels, [hashLabel]: hash },
      annotations: { ...annotations },
      ownerReferences: [ownerReferenceTo(kind, owner)],
    },
    data: revisionData(owner.spec.template),
    revision,
  };
}

function byRevision(revisions: readonly ControllerRevision[]): ControllerRevision[] {
  return [...revisions].sort((a, b) => a.revision - b.revision || (a.metadata.creationTimestamp < b.metadata.creationTimestamp ? -1 : 1));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined && inner !== null);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, sorted(inner)]));
}
