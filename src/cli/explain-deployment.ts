import type { Deployment, Event, ReplicaSet } from '#kinds/types.gen.ts';
import { eventsOf } from './explain-container.ts';
import { count, type Explanation, type Finding, worst } from './explanation.ts';

export interface DeploymentFacts {
  deployment: Deployment;
  /** Its own, newest first. */
  replicaSets: readonly ReplicaSet[];
  /** Of the Deployment and of its ReplicaSets. */
  events: readonly Event[];
  /** Its pods that are not ready, explained. */
  pods: readonly Explanation[];
}

/** Why a Deployment does not have the pods that it wants. */
export function explainDeployment({ deployment, replicaSets, events, pods }: DeploymentFacts): Explanation {
  const { metadata, spec, status = {} } = deployment;
  const about = `deployment ${metadata.namespace}/${metadata.name}`;
  const wanted = spec.replicas ?? 1;
  const { availableReplicas = 0, updatedReplicas = 0, observedGeneration = 0 } = status;
  const findings: Finding[] = [];
  if (observedGeneration < (metadata.generation ?? 0))
    findings.push({
      says: 'Its controller has not seen the last change yet.',
      todo: ['If this stays so: is the server well? umiak status tells.'],
    });
  if (spec.paused)
    findings.push({
      says: 'It is paused: changes to its template are not rolled out.',
      todo: [`Go on: kubectl rollout resume -n ${metadata.namespace} deployment/${metadata.name}`],
    });
  findings.push(...refusals(deployment, replicaSets, events));
  if (status.conditions?.some(({ type, reason }) => type === 'Progressing' && reason === 'ProgressDeadlineExceeded'))
    findings.push({
      says: `It has made no progress within ${spec.progressDeadlineSeconds ?? 600} seconds.`,
      todo: [`Mend what its pods hang on, or go back: kubectl rollout undo -n ${metadata.namespace} deployment/${metadata.name}`],
    });
  findings.push(...podFindings(pods));
  const isThere = availableReplicas >= wanted && updatedReplicas >= wanted;
  if (wanted === 0) return { about, state: 'fine', summary: 'wants no pods (replicas 0)', findings };
  if (isThere)
    return {
      about,
      state: spec.paused ? 'busy' : 'fine',
      summary: `has all its ${count(wanted, 'pod')}, and they are available`,
      findings,
    };
  const summary = `has ${availableReplicas} of ${count(wanted, 'pod')} available${updatedReplicas < wanted ? `, ${updatedReplicas} of its newest template` : ''}`;
  if (findings.length === 0) return { about, state: 'busy', summary, findings: [{ says: 'Its pods are being made or are starting.' }] };
  const isStuck = worst(pods.map(({ state }) => state)) === 'stuck' || findings.some(({ todo = [] }) => todo.length > 0);
  return { about, state: isStuck ? 'stuck' : 'busy', summary, findings };
}

/** Pods that the API refused to make: quota, service account, admission. */
function refusals({ status, metadata }: Deployment, replicaSets: readonly ReplicaSet[], events: readonly Event[]): Finding[] {
  const failure = [status, ...replicaSets.map(set => set.status)]
    .flatMap(each => each?.conditions ?? [])
    .find(({ type, status: its }) => type === 'ReplicaFailure' && its === 'True');
  const message = failure?.message ?? eventsOf(events, 'FailedCreate')[0]?.message;
  if (!message) return [];
  const account = /serviceaccount "?([\w.-]+)"? (?:was )?not found/i.exec(message)?.[1];
  const todo = account
    ? `Create the ServiceAccount: kubectl create serviceaccount -n ${metadata.namespace} ${account}`
    : /quota/i.test(message)
      ? 'Raise the ResourceQuota of the namespace, or lower what the pods request.'
      : 'Correct the pod template: the message names what the API refuses.';
  return [{ says: 'Pods could not be made.', evidence: [message], todo: [todo] }];
}

/** Pods with the same trouble are told once. */
function podFindings(pods: readonly Explanation[]): Finding[] {
  const groups = new Map<string, Explanation[]>();
  for (const pod of pods) groups.set(pod.summary, [...(groups.get(pod.summary) ?? []), pod]);
  return [...groups.values()].flatMap(([first, ...others]) => {
    if (!first) return [];
    const also = others.length > 0 ? ` (and ${count(others.length, 'other')} the same)` : '';
    return [{ says: `${first.about[0]?.toUpperCase()}${first.about.slice(1)} ${first.summary}${also}.` }, ...first.findings];
  });
}
