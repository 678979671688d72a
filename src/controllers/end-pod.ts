import { toTime } from '#base/index.ts';
import type { Client, DeleteQuery } from '#client/index.ts';
import { Pod } from '#kinds/pod.ts';
import { isPodTerminal } from '#kinds/pod-template.ts';
import { ignoreAbsent } from './absence.ts';

/** Why a pod is ended by somebody other than its owner: the condition `DisruptionTarget`. */
export interface Disruption {
  reason: string;
  message: string;
}

export interface EndPodOptions {
  nowMs: number;
  /** Absent: nothing is said of it. */
  disruption?: Disruption;
  /** Nobody else will say any more that it has ended. */
  isFailed?: boolean;
  gracePeriodSeconds?: number;
}

/** Deletes a pod, having said on it why: Jobs decide by it. A pod that is gone, or another by now, is left alone. */
export async function endPod(client: Client, pod: Pod, { nowMs, disruption, isFailed, gracePeriodSeconds }: EndPodOptions): Promise<void> {
  const { uid } = pod.metadata;
  const isEnded = isFailed && !isPodTerminal(pod);
  if (disruption || isEnded) {
    const condition = { type: 'DisruptionTarget', status: 'True', ...disruption, lastTransitionTime: toTime(nowMs) };
    const status = { ...(isEnded && { phase: 'Failed' }), ...(disruption && { conditions: [condition] }) };
    await ignoreAbsent(client.patch(Pod, pod.metadata, { metadata: { uid }, status }, { type: 'strategic', subresource: 'status' }));
  }
  const options: DeleteQuery = { preconditions: { uid }, ...(gracePeriodSeconds !== undefined && { gracePeriodSeconds }) };
  await ignoreAbsent(client.delete(Pod, pod.metadata, options));
}
