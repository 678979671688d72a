import type { Job } from '#kinds/job.ts';
import type { Pod } from '#kinds/pod.ts';
import { isPodActive, isPodTerminal } from '#kinds/pod-template.ts';
import { addIndexes, countIndexes, hasIndex, type Indexes, parseIndexes } from './job-indexes.ts';
import { failureCounts, finishedAtMs, indexOf, isPodFailed, isTracked, matchFailurePolicy } from './job-pods.ts';

/** A Job and its pods, as they are now. */
export interface JobPicture {
  job: Job;
  /** The pods that it controls. */
  pods: readonly Pod[];
  nowMs: number;
}

/** A Job and its pods, counted: what decisions are made on. */
export interface JobView {
  job: Job;
  pods: readonly Pod[];
  active: readonly Pod[];
  /** How many are on their way out. */
  terminating: number;
  indexed: boolean;
  /** `Infinity` for a Job without `spec.completions`. */
  completions: number;
  /** With those that are not counted yet. */
  succeeded: number;
  failed: number;
  succeededIndexes: Indexes;
  /** Only with `backoffLimitPerIndex`. */
  failedIndexes?: Indexes;
  /** The last failed pod of each index that will be tried again: it remembers how often. */
  replaceable: ReadonlyMap<number, Pod>;
}

/** Counts a Job's pods. Pure. */
export function viewJob({ job, pods }: JobPicture): JobView {
  const indexed = job.spec.completionMode === 'Indexed';
  const completions = job.spec.completions ?? Number.POSITIVE_INFINITY;
  const active = pods.filter(isPodActive);
  const { succeeded: knownSucceeded = [], failed: knownFailed = [] } = job.status?.uncountedTerminatedPods ?? {};
  const isIndexRight = (pod: Pod) => !indexed || indexOf(pod, completions) !== undefined;
  const fresh = (known: readonly string[]) => pods.filter(pod => isTracked(pod) && !known.includes(pod.metadata.uid) && isIndexRight(pod));
  const newSucceeded = fresh(knownSucceeded).filter(({ status }) => status?.phase === 'Succeeded');
  const newFailed = fresh(knownFailed).filter(pod => isPodFailed(pod, job) && matchFailurePolicy(job, pod)?.action !== 'Ignore');
  const indexes = (of: readonly Pod[]) => of.map(pod => indexOf(pod, completions)).filter(index => index !== undefined);
  const succeededIndexes = indexed ? addIndexes(parseIndexes(job.status?.completedIndexes, completions), indexes(newSucceeded)) : [];
  const view: JobView = {
    job,
    pods,
    active,
    terminating: pods.filter(pod => pod.metadata.deletionTimestamp && !isPodTerminal(pod)).length,
    indexed,
    completions,
    succeeded: indexed ? countIndexes(succeededIndexes) : (job.status?.succeeded ?? 0) + newSucceeded.length + knownSucceeded.length,
    failed: (job.status?.failed ?? 0) + newFailed.length + knownFailed.length,
    succeededIndexes,
    replaceable: new Map(),
  };
  const perIndex = job.spec.backoffLimitPerIndex;
  if (!indexed || perIndex === undefined) return view;
  const failed = pods.filter(pod => isTracked(pod) && isPodFailed(pod, job) && isIndexRight(pod));
  const hopeless = failed.filter(pod => failureCounts(pod).counted >= perIndex && matchFailurePolicy(job, pod)?.action !== 'Ignore');
  const ruled = failed.filter(pod => matchFailurePolicy(job, pod)?.action === 'FailIndex');
  const failedIndexes = addIndexes(parseIndexes(job.status?.failedIndexes, completions), indexes([...hopeless, ...ruled]));
  const busy = new Set(indexes(active));
  const replaceable = new Map<number, Pod>();
  for (const pod of failed) {
    const index = indexOf(pod, completions) ?? 0;
    if (busy.has(index) || hasIndex(succeededIndexes, index) || hasIndex(failedIndexes, index)) continue;
    const other = replaceable.get(index);
    if (!other || isLater(pod, other)) replaceable.set(index, pod);
  }
  return { ...view, failedIndexes, replaceable };
}

function isLater(pod: Pod, other: Pod): boolean {
  const [a, b] = [failureCounts(pod), failureCounts(other)];
  const difference = a.counted + a.ignored - b.counted - b.ignored;
  return difference > 0 || (difference === 0 && finishedAtMs(pod) >= finishedAtMs(other));
}
