import { isPodReady, podCondition } from '#kinds/pod-template.ts';
import type { Container, ContainerStatus } from '#kinds/types.gen.ts';
import { type ContainerFinding, eventsOf, explainContainer, type PodFacts } from './explain-container.ts';
import { explainScheduling } from './explain-scheduling.ts';
import { count, duration, type Explanation, type Finding, worst } from './explanation.ts';

type Verdict = Omit<Explanation, 'about'>;

/** A pod that nobody scheduled within this has no scheduler. */
const SCHEDULER_SILENCE_MS = 5_000;

/** Why a pod does not run, is not ready or does not go, in plain words; or that all is well. */
export function explainPod(facts: PodFacts): Explanation {
  const { namespace, name } = facts.pod.metadata;
  const verdict =
    explainTerminating(facts) ??
    explainEnd(facts) ??
    explainUnscheduled(facts) ??
    explainNode(facts) ??
    explainSandbox(facts) ??
    explainInit(facts) ??
    explainContainers(facts) ??
    explainGates(facts) ??
    healthy(facts);
  return { about: `pod ${namespace}/${name}`, ...verdict };
}

function explainTerminating({ pod, nowMs, node }: PodFacts): Verdict | undefined {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, finalizers = [] } = pod.metadata;
  if (!deletionTimestamp) return undefined;
  const sinceMs = nowMs - Date.parse(deletionTimestamp);
  if (sinceMs < 0)
    return {
      state: 'busy',
      summary: 'is being deleted',
      findings: [
        {
          says: `Its containers have been asked to end and have ${duration(-sinceMs)} left of their ${count(deletionGracePeriodSeconds, 'second')}.`,
        },
      ],
    };
  const findings: Finding[] = [];
  if (node === null || node?.isReady === false)
    findings.push({
      says: `Its node ${pod.spec.nodeName} ${node === null ? 'is gone' : 'is not ready'}, so nobody can say that its containers have ended.`,
      todo: ['Bring the node back (umiak status); or, if its containers surely do not run any more: kubectl delete pod --force.'],
    });
  if (finalizers.length > 0)
    findings.push({
      says: `It is kept by ${count(finalizers.length, 'finalizer')}: ${finalizers.join(', ')}.`,
      todo: ['Whoever put a finalizer there takes it away when its work is done; look whether that controller runs.'],
    });
  if (findings.length === 0)
    findings.push({ says: `Its grace period ended ${duration(sinceMs)} ago; its containers are being killed and cleaned away.` });
  const isStuck = findings.some(({ todo }) => todo) || sinceMs > 30_000;
  return { state: isStuck ? 'stuck' : 'busy', summary: isStuck ? 'should be gone and is not' : 'is being deleted', findings };
}

function explainEnd(facts: PodFacts): Verdict | undefined {
  const { status } = facts.pod;
  if (status?.phase === 'Succeeded') return { state: 'fine', summary: 'is done: all its containers ended without an error', findings: [] };
  if (status?.phase !== 'Failed') return undefined;
  if (status.reason)
    return {
      state: 'stuck',
      summary: `has failed: ${status.reason}`,
      findings: [{ says: status.message ?? 'There is no message.', todo: endAdvice(status.reason) }],
    };
  const findings = containerFindings(facts);
  return { state: 'stuck', summary: `has failed${suffix(findings)}`, findings };
}

function endAdvice(reason: string): string[] {
  if (reason === 'Evicted') return ['The node was short of something: give the pod requests that fit what it uses, or make room.'];
  if (reason === 'DeadlineExceeded') return ['It ran longer than spec.activeDeadlineSeconds allows.'];
  return [];
}

function explainUnscheduled({ pod, events, nowMs }: PodFacts): Verdict | undefined {
  if (pod.spec.nodeName) return undefined;
  const condition = podCondition(pod, 'PodScheduled');
  if (condition?.reason === 'SchedulingGated')
    return {
      state: 'stuck',
      summary: 'waits for its scheduling gates',
      findings: [
        {
          says: `Gates: ${(pod.spec.schedulingGates ?? []).map(({ name }) => name).join(', ')}.`,
          todo: ['Whoever set them must take them away.'],
        },
      ],
    };
  const message = condition?.status === 'False' ? condition.message : eventsOf(events, 'FailedScheduling')[0]?.message;
  if (message) return { state: 'stuck', summary: 'does not run: no node can take it', findings: explainScheduling(message, pod) };
  const { schedulerName = 'default-scheduler' } = pod.spec;
  if (schedulerName !== 'default-scheduler')
    return {
      state: 'stuck',
      summary: 'does not run: nobody places it',
      findings: [
        {
          says: `It asks for the scheduler ${schedulerName}, which has said nothing.`,
          todo: ['Start that scheduler, or take spec.schedulerName away.'],
        },
      ],
    };
  const ageMs = nowMs - Date.parse(pod.metadata.creationTimestamp ?? '');
  if (ageMs < SCHEDULER_SILENCE_MS) return { state: 'busy', summary: 'is new: the scheduler is about to place it', findings: [] };
  return {
    state: 'stuck',
    summary: 'does not run: nobody places it',
    findings: [
      {
        says: `It was made ${duration(ageMs)} ago, and the scheduler has said nothing about it.`,
        todo: ['Is the server well? umiak status tells.'],
      },
    ],
  };
}

function explainNode({ pod, node }: PodFacts): Verdict | undefined {
  if (node === undefined || node?.isReady) return undefined;
  const { nodeName } = pod.spec;
  if (node === null)
    return {
      state: 'stuck',
      summary: `is placed on ${nodeName}, which does not exist`,
      findings: [{ says: `There is no node ${nodeName}.`, todo: ['Correct spec.nodeName, or start the agent of that machine.'] }],
    };
  return {
    state: 'stuck',
    summary: `is on ${nodeName}, which is not ready`,
    findings: [
      {
        says: `Node ${nodeName} is not ready, so what the pod's containers do is not known here.`,
        evidence: node.message ? [node.message] : [],
        todo: ['umiak status tells whether its agent runs; umiak up starts it. Containers go on meanwhile.'],
      },
    ],
  };
}

/** Before containers can be made: volumes and the network. */
function explainSandbox({ pod, events, references }: PodFacts): Verdict | undefined {
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  const isBefore = statuses.every(
    ({ state }) =>
      state?.running === undefined &&
      state?.terminated === undefined &&
      ['ContainerCreating', 'PodInitializing', undefined].includes(state?.waiting?.reason),
  );
  if (!isBefore) return undefined;
  const { namespace } = pod.metadata;
  const mount = eventsOf(events, 'FailedMount', 'FailedAttachVolume')[0]?.message;
  if (mount) {
    const absent = references.find(({ name, keys }) => keys === undefined && mount.includes(name));
    const finding: Finding = absent
      ? {
          says: `A volume needs the ${absent.kind} ${absent.name}, which is not in namespace ${namespace}.`,
          todo: [
            `Create it in namespace ${namespace}, correct its name in spec.volumes, or mark it optional. The pod goes on by itself then.`,
          ],
        }
      : {
          says: 'A volume can’t be made ready.',
          evidence: [mount],
          todo: ['Correct what the message names in spec.volumes; the pod goes on by itself then.'],
        };
    return { state: 'stuck', summary: 'does not run: a volume is missing', findings: [finding] };
  }
  const sandbox = eventsOf(events, 'FailedCreatePodSandBox')[0]?.message;
  if (!sandbox) return undefined;
  return {
    state: 'stuck',
    summary: 'does not run: its network or sandbox can’t be made',
    findings: [
      {
        says: 'The machine could not make what the containers live in; it is tried again.',
        evidence: [sandbox],
        todo: ['The agent’s log in the data directory tells more.'],
      },
    ],
  };
}

function explainInit(facts: PodFacts): Verdict | undefined {
  const { spec, status } = facts.pod;
  for (const [i, container] of (spec.initContainers ?? []).entries()) {
    const its = status?.initContainerStatuses?.find(({ name }) => name === container.name);
    const isSidecar = container.restartPolicy === 'Always';
    if (isSidecar ? its?.started : its?.state?.terminated?.exitCode === 0) continue;
    const place = `Init container ${i + 1} of ${spec.initContainers?.length}`;
    const startedAt = its?.state?.running?.startedAt;
    if (startedAt && !isSidecar) {
      const ms = facts.nowMs - Date.parse(startedAt);
      const isLong = ms > 60_000;
      return {
        state: isLong ? 'stuck' : 'busy',
        summary: `waits for its init container ${container.name}`,
        findings: [
          {
            says: `${place}, ${container.name}, has run for ${duration(ms)}; the others start when it ends.`,
            evidence: isLong ? [...(facts.logTails[container.name] ?? [])] : [],
            todo: isLong
              ? [`See what it waits for: umiak logs -n ${facts.pod.metadata.namespace} ${facts.pod.metadata.name} -c ${container.name} -f`]
              : [],
          },
        ],
      };
    }
    const finding = explainContainer(container, its, facts);
    if (finding)
      return {
        state: finding.state,
        summary: `does not run: its init container ${container.name} ${finding.short}`,
        findings: [{ ...bare(finding), says: finding.says.replace(/^Container /, `${place}, container `) }],
      };
  }
  return undefined;
}

function explainContainers(facts: PodFacts): Verdict | undefined {
  if (isPodReady(facts.pod)) return undefined;
  const findings = containerFindings(facts);
  if (findings.length === 0) return undefined;
  const isRunning = facts.pod.status?.phase === 'Running';
  return {
    state: worst(findings.map(({ state }) => state)),
    summary: `${isRunning ? 'is not ready' : 'does not run'}${suffix(findings)}`,
    findings: findings.map(bare),
  };
}

function containerFindings(facts: PodFacts): (ContainerFinding & { container: string })[] {
  const { spec, status } = facts.pod;
  const statusOf = ({ name }: Container): ContainerStatus | undefined => status?.containerStatuses?.find(each => each.name === name);
  return spec.containers.flatMap(container => {
    const finding = explainContainer(container, statusOf(container), facts);
    return finding ? [{ ...finding, container: container.name }] : [];
  });
}

function suffix(findings: readonly (ContainerFinding & { container: string })[]): string {
  return findings.length > 0 ? `: ${findings.map(({ container, short }) => `container ${container} ${short}`).join(', ')}` : '';
}

function bare({ says, evidence = [], todo = [] }: Finding): Finding {
  return { says, evidence, todo };
}

function explainGates({ pod }: PodFacts): Verdict | undefined {
  const closed = (pod.spec.readinessGates ?? [])
    .map(({ conditionType }) => conditionType)
    .filter(type => podCondition(pod, type)?.status !== 'True');
  if (closed.length === 0) return undefined;
  return {
    state: 'stuck',
    summary: 'is not ready: a readiness gate is closed',
    findings: [
      {
        says: `Nobody has set the condition ${closed.join(', ')} to True.`,
        todo: ['The controller that owns this condition must say so; look whether it runs.'],
      },
    ],
  };
}

function healthy({ pod, nowMs }: PodFacts): Verdict {
  if (!isPodReady(pod)) return { state: 'busy', summary: 'is starting', findings: [] };
  const since = podCondition(pod, 'Ready')?.lastTransitionTime;
  const restarted = (pod.status?.containerStatuses ?? []).filter(({ restartCount }) => restartCount > 0);
  return {
    state: 'fine',
    summary: `runs and is ready${since ? `, for ${duration(nowMs - Date.parse(String(since)))}` : ''}`,
    findings: restarted.map(({ name, restartCount, lastState }) => ({
      says: `Container ${name} was restarted ${count(restartCount, 'time')}${lastState?.terminated ? `; it had ended with ${lastState.terminated.reason ?? 'an error'} (exit code ${lastState.terminated.exitCode})` : ''}.`,
    })),
  };
}
