import { done, isNamespaceEnding, type Outcome, type Reconciling } from '#client/index.ts';
import { ControllerRevision } from '#kinds/controller-revision.ts';
import { DaemonSet } from '#kinds/daemon-set.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import type { Key } from '#kinds/kind.ts';
import { Node } from '#kinds/node.ts';
import { Pod } from '#kinds/pod.ts';
import { ignoreAbsent } from './absence.ts';
import { Backoff } from './backoff.ts';
import { inGrowingBatches } from './batches.ts';
import { claim } from './claim.ts';
import { claimRevisions, ensureRevision, type History, REVISION_LABEL, truncateRevisions } from './controller-revision.ts';
import {
  type DaemonPicture,
  type DaemonPlan,
  daemonAffinity,
  daemonSetStatus,
  daemonTolerations,
  planDaemonSet,
} from './daemon-set-plan.ts';
import { type PodDraft, podFromTemplate } from './pod-from-template.ts';
import { isSameStatus } from './status.ts';

/** Pods made or removed in one reconcile, at most; the rest comes with the next. */
const BURST = 250;
const TEMPLATE_GENERATION = 'deprecated.daemonset.template.generation';
const failures = new Backoff({ firstMs: 1_000, lastMs: 900_000 });

/** One look at a DaemonSet: revisions, the next steps, status, history. */
export async function reconcileDaemonSet(key: Key, context: Reconciling): Promise<Outcome> {
  const { client, clock } = context;
  const set = await client.get(DaemonSet, key);
  if (!set || set.metadata.deletionTimestamp) return done;
  const claimed = await claim(client, { owner: set, ownerKind: DaemonSet, kind: Pod, selector: set.spec.selector });
  const history: History<DaemonSet> = { client, kind: DaemonSet, owner: set, hashLabel: REVISION_LABEL };
  const revisions = await claimRevisions(history);
  const current = await ensureRevision(history, revisions);
  if (!current) return done;
  const hash = hashOf(current);
  const pods = await mergeTwins(current, revisions, claimed, context);
  const nowMs = clock.now();
  const failureKey = (node: string) => `${set.metadata.uid}/${node}`;
  const backoffMs = (node: string) => failures.leftMs(failureKey(node), nowMs);
  const picture: DaemonPicture = { set, nodes: client.cached(Node).list(), pods, hash, nowMs, backoffMs };
  const plan = planDaemonSet(picture);
  for (const { pod, node } of plan.ended) {
    failures.tried(failureKey(node), nowMs);
    tellEnded(set, pod, node, context);
  }
  const failure = await act(picture, plan, context);
  const { status, againInMs } = daemonSetStatus(picture);
  if (!isSameStatus(set.status, status))
    await ignoreAbsent(client.patch(DaemonSet, set.metadata, { status }, { type: 'merge', subresource: 'status' }));
  if (failure && !isNamespaceEnding(failure)) throw failure;
  const hashes = new Set([hash, ...pods.map(({ metadata }) => metadata.labels?.[REVISION_LABEL] ?? '')]);
  const live = revisions.filter(revision => hashes.has(hashOf(revision)));
  await truncateRevisions(history, revisions, new Set(live.map(({ metadata }) => metadata.name)));
  const waits = [plan.againInMs, againInMs].filter(ms => ms !== undefined);
  return waits.length > 0 ? { againInMs: Math.min(...waits) } : done;
}

function hashOf({ metadata }: ControllerRevision): string {
  return metadata.labels?.[REVISION_LABEL] ?? metadata.name.slice(metadata.name.lastIndexOf('-') + 1);
}

/** Other revisions of the same template go, and their pods are the present one's: nothing restarts for a label. */
async function mergeTwins(
  current: ControllerRevision,
  revisions: readonly ControllerRevision[],
  pods: Pod[],
  { client }: Reconciling,
): Promise<Pod[]> {
  const twins = revisions.filter(({ metadata, data }) => metadata.uid !== current.metadata.uid && jsonEqual(data, current.data));
  if (twins.length === 0) return pods;
  const hashes = new Set(twins.map(hashOf));
  const labels = { [REVISION_LABEL]: hashOf(current) };
  const merged = pods.map(async pod => {
    const { uid } = pod.metadata;
    if (!hashes.has(pod.metadata.labels?.[REVISION_LABEL] ?? '')) return pod;
    return (await ignoreAbsent(client.patch(Pod, pod.metadata, { metadata: { uid, labels } }, { type: 'merge' }))) ?? pod;
  });
  const relabelled = await Promise.all(merged);
  for (const twin of twins) if (!twin.metadata.deletionTimestamp) await ignoreAbsent(client.delete(ControllerRevision, twin.metadata));
  return relabelled;
}

/** Takes the planned steps; returns what kept it from one. */
async function act(
  { set, hash }: DaemonPicture,
  { create, remove }: DaemonPlan,
  { client, events }: Reconciling,
): Promise<Error | undefined> {
  const creating = create.slice(0, BURST).map(node => async () => {
    const { metadata } = await client.create(Pod, podFor(set, node, hash));
    events.normal(set, 'SuccessfulCreate', `Created pod: ${metadata.name}`);
  });
  const removing = remove.slice(0, BURST).map(pod => async () => {
    await ignoreAbsent(client.delete(Pod, pod.metadata, { preconditions: { uid: pod.metadata.uid } }));
    events.normal(set, 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`);
  });
  // What goes makes room for what comes.
  const unremoved = await inGrowingBatches(removing);
  const failure = await inGrowingBatches(creating);
  if (failure && !isNamespaceEnding(failure)) events.warning(set, 'FailedCreate', `Error creating: ${failure.message}`);
  return failure ?? unremoved;
}

/** A pod for one node, as the present template describes it. */
function podFor(set: DaemonSet, node: string, hash: string): PodDraft {
  const pod = podFromTemplate(DaemonSet, set, set.spec.template);
  pod.metadata.labels[REVISION_LABEL] = hash;
  const generation = set.metadata.annotations?.[TEMPLATE_GENERATION];
  if (generation) pod.metadata.labels['pod-template-generation'] = generation;
  pod.spec.affinity = daemonAffinity(pod.spec, node);
  pod.spec.tolerations = daemonTolerations(pod.spec);
  return pod;
}

function tellEnded(set: DaemonSet, { metadata, status }: Pod, node: string, { events }: Reconciling): void {
  const pod = `${metadata.namespace}/${metadata.name} on node ${node}`;
  if (status?.phase === 'Succeeded') events.normal(set, 'SucceededDaemonPod', `Found succeeded daemon pod ${pod}, will try to delete it`);
  else events.warning(set, 'FailedDaemonPod', `Found failed daemon pod ${pod}, will try to kill it`);
}
