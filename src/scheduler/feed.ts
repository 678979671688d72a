import type { Namespace } from '#kinds/namespace.ts';
import type { Node } from '#kinds/node.ts';
import type { Pod } from '#kinds/pod.ts';
import { isPodTerminal } from '#kinds/pod-template.ts';
import { isAsPlaced, nodeChange, touchesGroups } from './happenings.ts';
import type { Happening } from './plugin.ts';
import type { SchedulingQueue } from './scheduling-queue.ts';
import { candidateOf, type Placed, type World } from './world.ts';

export interface FeedOptions {
  world: World;
  queue: SchedulingQueue;
  /** Whether a pod without a node is to be given one here, now. */
  isOurs: (pod: Pod) => boolean;
  /** Told of what may let waiting pods in. */
  onHappening: (happening: Happening) => void;
}

/** Takes what the watches bring into the world and the queue. */
export class Feed {
  readonly #options: FeedOptions;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  onNode(name: string, node: Node | undefined, previous: Node | undefined): void {
    const { world, onHappening } = this.#options;
    if (!node) {
      world.removeNode(name);
      return;
    }
    const isNew = world.putNode(node);
    const change = nodeChange(node, isNew ? undefined : previous);
    const row = world.table.rowOf(name);
    if (change && row !== undefined) onHappening({ type: 'node', row, node, ...change });
  }

  onNamespace(namespace: Namespace | undefined, previous: Namespace | undefined): void {
    if (JSON.stringify(namespace?.metadata.labels) === JSON.stringify(previous?.metadata.labels)) return;
    this.#options.world.groups.clear();
    this.#options.onHappening({ type: 'namespaces' });
  }

  onPod(key: string, pod: Pod | undefined, previous: Pod | undefined): void {
    const placed = this.#options.world.pods.get(key);
    if (!pod || isPodTerminal(pod)) this.#onGone(key, placed);
    else if (pod.spec.nodeName) this.#onPlaced(key, pod, placed);
    else if (!placed && this.#options.isOurs(pod)) this.#onWaiting(key, pod, previous);
    else if (!placed) this.#forget(key);
  }

  #onGone(key: string, placed: Placed | undefined): void {
    const { world, onHappening } = this.#options;
    this.#forget(key);
    if (!placed) return;
    world.unplace(placed);
    onHappening({ type: 'pod-gone', placed, row: world.table.rowOf(placed.node) });
  }

  /** A pod that no longer waits; what was being kept free for it others may have. */
  #forget(key: string): void {
    const { world, queue } = this.#options;
    queue.remove(key);
    if (world.nominatedNodeOf(key) === undefined) return;
    world.nominate(key, undefined);
    queue.wakeAll();
  }

  #onPlaced(key: string, pod: Pod, placed: Placed | undefined): void {
    const { world, queue, onHappening } = this.#options;
    queue.remove(key);
    if (placed && isAsPlaced(placed, pod)) {
      const { pod: previous } = placed;
      const isTouched = touchesGroups(pod, previous);
      world.refresh(placed, pod, isTouched);
      if (isTouched) onHappening({ type: 'pod-relabeled', placed, previous });
      return;
    }
    if (placed) world.unplace(placed);
    const now = world.place(candidateOf(key, pod), pod.spec.nodeName!);
    if (placed) onHappening({ type: 'pod-gone', placed, row: world.table.rowOf(placed.node) });
    onHappening({ type: 'pod-came', placed: now });
  }

  #onWaiting(key: string, pod: Pod, previous: Pod | undefined): void {
    const { world, queue } = this.#options;
    const nominated = pod.status?.nominatedNodeName;
    if (nominated !== previous?.status?.nominatedNodeName) world.nominate(candidateOf(key, pod), nominated);
    // A parked pod waits for the world to change, or for what is asked of it to.
    const asks = ({ metadata, spec }: Pod) => JSON.stringify([spec, metadata.labels]);
    if (!previous || previous.spec.schedulingGates?.length || asks(previous) !== asks(pod)) queue.add(key, pod.spec.priority ?? 0);
  }
}
