import { messageOf } from '#base/index.ts';
import { done, isNamespaceEnding, type Outcome, type Reconciling } from '#client/index.ts';
import type { ControllerRevision } from '#kinds/controller-revision.ts';
import type { Key } from '#kinds/kind.ts';
import { PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import { Pod } from '#kinds/pod.ts';
import { StatefulSet } from '#kinds/stateful-set.ts';
import type { PodTemplateSpec } from '#kinds/types.gen.ts';
import { ignoreAbsent } from './absence.ts';
import { inGrowingBatches } from './batches.ts';
import { claim } from './claim.ts';
import {
  claimRevisions,
  ensureRevision,
  type History,
  REVISION_LABEL,
  templateOfRevision,
  truncateRevisions,
} from './controller-revision.ts';
import { type PodDraft, podFromTemplate } from './pod-from-template.ts';
import { claimsOf, isStaleClaim, planClaimOwners } from './stateful-set-claims.ts';
import { isWanted, ordinalOf, planStatefulSet, type StatefulPicture, type StatefulPlan, statefulSetStatus } from './stateful-set-plan.ts';
import { isSameStatus } from './status.ts';

const POD_NAME = 'statefulset.kubernetes.io/pod-name';
const POD_INDEX = 'apps.kubernetes.io/pod-index';

/** One look at a StatefulSet: revisions, the next steps, claims, status, history. */
export async function reconcileStatefulSet(key: Key, context: Reconciling): Promise<Outcome> {
  const { client, clock } = context;
  const set = await client.get(StatefulSet, key);
  if (!set || set.metadata.deletionTimestamp) return done;
  const isMember = (pod: Pod) => ordinalOf(set, pod) !== undefined;
  const { selector } = set.spec;
  const pods = (await claim(client, { owner: set, ownerKind: StatefulSet, kind: Pod, selector, adoptable: isMember })).filter(isMember);
  const history: History<StatefulSet> = { client, kind: StatefulSet, owner: set, hashLabel: 'controller.kubernetes.io/hash' };
  const revisions = await claimRevisions(history);
  const update = await ensureRevision(history, revisions);
  if (!update) return done;
  const current = revisions.find(({ metadata }) => metadata.name === set.status?.currentRevision) ?? update;
  const picture: StatefulPicture = {
    set,
    pods,
    currentRevision: current.metadata.name,
    updateRevision: update.metadata.name,
    nowMs: clock.now(),
  };
  await keepMembersTrue(set, pods, context);
  const failure = await act(picture, planStatefulSet(picture), [current, update], context);
  const { status, againInMs } = statefulSetStatus(picture);
  if (!isSameStatus(set.status, status))
    await ignoreAbsent(client.patch(StatefulSet, set.metadata, { status }, { type: 'merge', subresource: 'status' }));
  if (failure && !isNamespaceEnding(failure)) throw failure;
  const live = new Set([
    ...pods.map(pod => pod.metadata.labels?.[REVISION_LABEL] ?? ''),
    status.currentRevision ?? '',
    status.updateRevision ?? '',
  ]);
  await truncateRevisions(history, revisions, live);
  return againInMs === undefined ? done : { againInMs };
}

/** Takes the planned steps; returns what kept it from one. */
async function act(
  { set, updateRevision }: StatefulPicture,
  { create, remove }: StatefulPlan,
  [current, update]: [ControllerRevision, ControllerRevision],
  { client, events }: Reconciling,
): Promise<Error | undefined> {
  const { name } = set.metadata;
  const creating = create.map(({ ordinal, revision }) => async () => {
    const from = revision === updateRevision ? update : current;
    const draft = podOf(set, ordinal, templateOfRevision(from), from.metadata.name);
    try {
      if (!(await ensureClaims(set, ordinal, draft.metadata.name ?? '', { client, events }))) return;
      await client.create(Pod, draft);
      events.normal(set, 'SuccessfulCreate', `create Pod ${draft.metadata.name} in StatefulSet ${name} successful`);
    } catch (error) {
      if (!isNamespaceEnding(error))
        events.warning(set, 'FailedCreate', `create Pod ${draft.metadata.name} in StatefulSet ${name} failed error: ${messageOf(error)}`);
      throw error;
    }
  });
  const removing = remove.map(({ pod, because }) => async () => {
    if (because === 'failed') {
      const reason = pod.status?.phase === 'Succeeded' ? 'RecreatingTerminatedPod' : 'RecreatingFailedPod';
      const word = pod.status?.phase === 'Succeeded' ? 'terminated' : 'failed';
      events.warning(set, reason, `StatefulSet ${set.metadata.namespace}/${name} is recreating ${word} Pod ${pod.metadata.name}`);
    }
    await ignoreAbsent(client.delete(Pod, pod.metadata, { preconditions: { uid: pod.metadata.uid } }));
    events.normal(set, 'SuccessfulDelete', `delete Pod ${pod.metadata.name} in StatefulSet ${name} successful`);
  });
  return (await inGrowingBatches(creating)) ?? (await inGrowingBatches(removing));
}

/** Identity labels and the owners of claims, of the members that are there. */
async function keepMembersTrue(set: StatefulSet, pods: readonly Pod[], { client }: Reconciling): Promise<void> {
  for (const pod of pods) {
    const ordinal = ordinalOf(set, pod) ?? 0;
    const { uid, name } = pod.metadata;
    const labels = { [POD_NAME]: name, [POD_INDEX]: String(ordinal) };
    if (!pod.metadata.deletionTimestamp && Object.entries(labels).some(([key, value]) => pod.metadata.labels?.[key] !== value))
      await ignoreAbsent(client.patch(Pod, pod.metadata, { metadata: { uid, labels } }, { type: 'merge' }));
    for (const { metadata } of claimsOf(set, ordinal)) {
      const present = client.cached(PersistentVolumeClaim).get({ namespace: metadata.namespace, name: metadata.name });
      const owners = present && planClaimOwners(set, pod, !isWanted(set, ordinal), present);
      if (!present || !owners) continue;
      const { resourceVersion } = present.metadata;
      const change = { metadata: { resourceVersion, ownerReferences: owners } };
      await ignoreAbsent(client.patch(PersistentVolumeClaim, present.metadata, change, { type: 'merge' }));
    }
  }
}

/** Makes the claims that a member needs; false while an earlier one of the same name is still on its way out. */
async function ensureClaims(
  set: StatefulSet,
  ordinal: number,
  pod: string,
  { client, events }: Pick<Reconciling, 'client' | 'events'>,
): Promise<boolean> {
  for (const draft of claimsOf(set, ordinal)) {
    const { name } = draft.metadata;
    const present = client.cached(PersistentVolumeClaim).get({ namespace: draft.metadata.namespace, name });
    if (present?.metadata.deletionTimestamp || (present && isStaleClaim(pod, present))) return false;
    if (present) continue;
    if (set.spec.persistentVolumeClaimRetentionPolicy?.whenDeleted === 'Delete')
      draft.metadata.ownerReferences = [{ apiVersion: 'apps/v1', kind: 'StatefulSet', name: set.metadata.name, uid: set.metadata.uid }];
    try {
      await client.create(PersistentVolumeClaim, draft);
    } catch (error) {
      events.warning(
        set,
        'FailedCreate',
        `create Claim ${name} Pod ${pod} in StatefulSet ${set.metadata.name} failed error: ${messageOf(error)}`,
      );
      throw error;
    }
    events.normal(set, 'SuccessfulCreate', `create Claim ${name} Pod ${pod} in StatefulSet ${set.metadata.name} success`);
  }
  return true;
}

/** A member as a revision's template describes it, with its name, host name and volumes. */
export function podOf(set: StatefulSet, ordinal: number, template: PodTemplateSpec, revision: string): PodDraft {
  const pod = podFromTemplate(StatefulSet, set, template);
  const name = `${set.metadata.name}-${ordinal}`;
  pod.metadata.name = name;
  delete pod.metadata.generateName;
  Object.assign(pod.metadata.labels, { [REVISION_LABEL]: revision, [POD_NAME]: name, [POD_INDEX]: String(ordinal) });
  pod.spec.hostname = name;
  if (set.spec.serviceName) pod.spec.subdomain = set.spec.serviceName;
  const claimed = (set.spec.volumeClaimTemplates ?? []).map(({ metadata }, index) => ({
    name: metadata.name ?? '',
    persistentVolumeClaim: { claimName: claimsOf(set, ordinal)[index]?.metadata.name ?? '' },
  }));
  const own = (pod.spec.volumes ?? []).filter(volume => !claimed.some(({ name: taken }) => taken === volume.name));
  if (claimed.length + own.length > 0) pod.spec.volumes = [...claimed, ...own];
  return pod;
}
