import { type Clock, isUmiakError, toTime } from '#base/index.ts';
import { type Client, type EventRecorder, parseKey } from '#client/index.ts';
import { Pod } from '#kinds/pod.ts';
import { podCondition } from '#kinds/pod-template.ts';
import type { Sacrifice } from './preemption.ts';
import type { Candidate, Placed } from './world.ts';

export interface EffectsOptions {
  client: Client;
  clock: Clock;
}

/** What a failed attempt says of its pod. */
export interface Outcome {
  reason: 'Unschedulable' | 'SchedulerError';
  message: string;
  /** Where room is being made; null: nowhere any more; undefined: as it was. */
  nominatedNode?: string | null | undefined;
}

/** What the scheduler writes to the API. */
export class Effects {
  readonly #options: EffectsOptions;

  constructor(options: EffectsOptions) {
    this.#options = options;
  }

  /** @throws what the API answers, `Conflict` and `NotFound` among it */
  async bind({ key, pod }: Candidate, node: string): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    await this.#options.client.createSubresource(Pod, parseKey(key), 'binding', {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name, namespace, uid },
      target: { apiVersion: 'v1', kind: 'Node', name: node },
    });
  }

  /** Says in the pod's status why it has no node; nothing new, nothing written. */
  async tell(pod: Pod, { reason, message, nominatedNode }: Outcome): Promise<void> {
    const present = podCondition(pod, 'PodScheduled');
    const isSame = present?.status === 'False' && present.reason === reason && present.message === message;
    const nominated = (nominatedNode ?? null) === (pod.status?.nominatedNodeName ?? null) ? undefined : nominatedNode;
    if (isSame && nominated === undefined) return;
    const lastTransitionTime = present?.status === 'False' ? present.lastTransitionTime : toTime(this.#options.clock.now());
    const condition = { type: 'PodScheduled', status: 'False', reason, message, lastTransitionTime };
    await this.#patchStatus(pod, { conditions: [condition], ...(nominated === undefined ? {} : { nominatedNodeName: nominated }) });
  }

  /** Room is no longer being made for the pod. */
  async clearNomination(pod: Pod): Promise<void> {
    if (pod.status?.nominatedNodeName) await this.#patchStatus(pod, { nominatedNodeName: null });
  }

  /** Has the victims end, each with its grace, and says of each why. */
  async preempt({ pod: { metadata, spec } }: Candidate, { victims, node }: Sacrifice, events: EventRecorder): Promise<void> {
    const scheduler = spec.schedulerName ?? 'default-scheduler';
    await Promise.all(
      victims.map(async ({ pod }: Placed) => {
        if (pod.metadata.deletionTimestamp) return;
        const condition = {
          type: 'DisruptionTarget',
          status: 'True',
          reason: 'PreemptionByScheduler',
          message: `${scheduler}: preempting to accommodate a higher priority pod`,
          lastTransitionTime: toTime(this.#options.clock.now()),
        };
        await this.#patchStatus(pod, { conditions: [condition] });
        await unlessGone(this.#options.client.delete(Pod, pod.metadata, { preconditions: { uid: pod.metadata.uid } }));
        events.normal(pod, 'Preempted', `Preempted by pod ${metadata.uid} on node ${node}`);
      }),
    );
  }

  async #patchStatus({ metadata }: Pod, status: object): Promise<void> {
    const patch = { metadata: { uid: metadata.uid }, status };
    await unlessGone(this.#options.client.patch(Pod, metadata, patch, { type: 'strategic', subresource: 'status' }));
  }
}

/** That the pod is gone, or another of its name is there, is as good. */
async function unlessGone(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isUmiakError(error, 'NotFound') && !isUmiakError(error, 'Conflict')) throw error;
  }
}
