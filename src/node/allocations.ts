import type { EventRecorder } from '#client/index.ts';
import type { Pod } from '#kinds/pod.ts';
import {
  type Allocation,
  type PendingResize,
  planGrant,
  resizeMessage,
  specAllocation,
  toldAllocation,
  withAllocation,
} from './plan-resize.ts';

export interface AllocationsOptions {
  /** What the node has for pods; what it doesn't name is not counted. */
  allocatable: Readonly<Record<string, string>>;
  events: Pick<EventRecorder, 'normal' | 'warning'>;
}

interface Granted {
  allocation: Allocation;
  /** The last pod asked for, and what it was granted. */
  of: Pod;
  pod: Pod;
  pending?: PendingResize | undefined;
}

/** What the node's pods were granted of its CPU and memory: what their containers run with, whatever their specs ask for meanwhile. */
export class Allocations {
  readonly #options: AllocationsOptions;
  readonly #granted = new Map<string, Granted>();

  constructor(options: AllocationsOptions) {
    this.#options = options;
  }

  /** The pod with what it was granted; as it stands in the API, if it was granted nothing else. */
  granted(pod: Pod): Pod {
    const known = this.#granted.get(pod.metadata.uid);
    if (!known) return withAllocation(pod, toldAllocation(pod));
    return known.of === pod ? known.pod : withAllocation(pod, known.allocation);
  }

  /** Grants what the pod asks for now, or says why not. `others` are those whose grants count beside it, asked for only if need be. */
  settle(pod: Pod, others: () => Pod[]): { pod: Pod; pending?: PendingResize | undefined; hasChanged: boolean } {
    const { uid } = pod.metadata;
    const known = this.#granted.get(uid);
    const granted = this.granted(pod);
    if (granted === pod) {
      if (known) Object.assign(known, { of: pod, pod, pending: undefined });
      else this.#granted.set(uid, { allocation: specAllocation(pod), of: pod, pod });
      return { pod, hasChanged: false };
    }
    const { events, allocatable } = this.#options;
    const pending = planGrant({ pod, others: others().map(other => this.granted(other)), allocatable });
    if (!pending) {
      this.#granted.set(uid, { allocation: specAllocation(pod), of: pod, pod });
      events.normal(pod, 'ResizeStarted', resizeMessage('started', pod));
      return { pod, hasChanged: true };
    }
    if (known?.pending?.message !== pending.message || known.pending.reason !== pending.reason)
      events.warning(pod, `Resize${pending.reason}`, resizeMessage(pending.reason, pod, pending.message));
    this.#granted.set(uid, { allocation: known?.allocation ?? toldAllocation(pod), of: pod, pod: granted, pending });
    return { pod: granted, pending, hasChanged: false };
  }

  /** The pods whose resizes wait for others, the most important ones first and among equals those that wait longest. */
  deferred(): string[] {
    const priority = (pod: Pod) => pod.spec.priority ?? 0;
    const rank = ({ status }: Pod) => (status?.qosClass === 'Guaranteed' ? 0 : 1);
    return [...this.#granted.values()]
      .filter(({ pending }) => pending?.reason === 'Deferred')
      .sort((a, b) => priority(b.of) - priority(a.of) || rank(a.of) - rank(b.of))
      .map(({ of }) => of.metadata.uid);
  }

  forget(uid: string): void {
    this.#granted.delete(uid);
  }
}
