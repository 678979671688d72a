import type { Node } from '#kinds/node.ts';
import type { Pod } from '#kinds/pod.ts';
import type { Candidate, Placed, World } from './world.ts';

/** Why a node can't take a pod. */
export interface Rejection {
  reasons: readonly string[];
  /** True when no pod's going would help. */
  isFinal: boolean;
}

/** One filter's question, ready to be asked node by node for one pod. */
export interface Check {
  reject(row: number, node: Node): Rejection | undefined;
  /** Keeps in step while preemption tries what a pod's going (-1) or coming back (1) would change. Absent: it reads the table each time. */
  shift?(row: number, pod: Candidate, sign: 1 | -1): void;
}

/** No node at all can take the pod, and why. */
export interface Refusal {
  refuses: string;
}

/** Something that may let a pod in that found no place. */
export type Happening =
  | { type: 'node'; row: number; node: Node; isNew: boolean; hasNewLabels: boolean; hasNewTaints: boolean }
  | { type: 'pod-gone'; placed: Placed; row: number | undefined }
  | { type: 'pod-came'; placed: Placed }
  | { type: 'pod-relabeled'; placed: Placed; previous: Pod }
  /** A claim, volume or class changed; `claim`: one that is about that claim alone. */
  | { type: 'volumes'; claim: string | undefined }
  | { type: 'namespaces' };

/** A filter looks at the pod once, and costs nothing more when it has no question. */
export interface Filter {
  name: string;
  prepare(candidate: Candidate, world: World): Check | Refusal | undefined;
  /** Whether what happened may help a pod that it kept out: the queueing hint. Types it does not name don't. */
  helps: Partial<{
    [Type in Happening['type']]: (happening: Extract<Happening, { type: Type }>, candidate: Candidate, world: World) => boolean;
  }>;
}

/** Prefers nodes: scores from 0 to 100 for `rows`, in their order; undefined when the pod's nodes are all the same to it. */
export interface Score {
  name: string;
  weight: number;
  score(candidate: Candidate, world: World, rows: readonly number[]): ArrayLike<number> | undefined;
}

/** What a profile places with, each in its order: the first filter that objects to a node is heard. */
export interface Plugins {
  filters: readonly Filter[];
  scores: readonly Score[];
}

/** A rejection whose words are known beforehand. */
export function rejection(reason: string, { isFinal = false }: { isFinal?: boolean } = {}): Rejection {
  return { reasons: [reason], isFinal };
}

/** The hint of filters that look only at the node's own row: it helps when the row would now pass. */
export function passesNow(filter: () => Filter): (happening: { row: number | undefined }, candidate: Candidate, world: World) => boolean {
  return ({ row }, candidate, world) => {
    const node = row === undefined ? undefined : world.table.nodes[row];
    if (row === undefined || !node) return false;
    const check = filter().prepare(candidate, world);
    return check === undefined || (!('refuses' in check) && check.reject(row, node) === undefined);
  };
}

/** 0 to 100, the highest becoming 100; `isReversed`: the highest becoming 0. */
export function normalized(raw: Float64Array, isReversed = false): Float64Array | undefined {
  let highest = 0;
  for (const value of raw) highest = Math.max(highest, value);
  if (highest === 0) return undefined;
  return raw.map(value => {
    const scaled = Math.floor((100 * value) / highest);
    return isReversed ? 100 - scaled : scaled;
  });
}
