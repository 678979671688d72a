import type { HorizontalPodAutoscaler } from '#kinds/autoscaling.ts';
import type { HPAScalingRules } from '#kinds/types.gen.ts';

/** What was wanted, and when: held against a hasty change of mind. */
export interface Recommendation {
  replicas: number;
  atMs: number;
}

/** A change that was made: pods that came (positive) or went. */
export interface ScaleChange {
  change: number;
  atMs: number;
}

export interface LimitQuestion {
  spec: HorizontalPodAutoscaler['spec'];
  current: number;
  wanted: number;
  recommendations: readonly Recommendation[];
  changes: readonly ScaleChange[];
  nowMs: number;
}

/** A number of replicas, and the reasons that the conditions `AbleToScale` and `ScalingLimited` give for it. */
export interface LimitAnswer {
  replicas: number;
  able: { reason: string; message: string };
  limited: { status: 'True' | 'False'; reason: string; message: string };
}

/** Down without a window of its own. */
const SCALE_DOWN_WINDOW_S = 300;
/** No window, and no period of a policy, is longer. */
export const LONGEST_MEMORY_MS = 3_600_000;

const READY = { reason: 'ReadyForNewScale', message: 'recommended size matches current size' };
const UP_HELD = {
  reason: 'ScaleUpStabilized',
  message: 'recent recommendations were lower than current one, applying the lowest recent recommendation',
};
const DOWN_HELD = {
  reason: 'ScaleDownStabilized',
  message: 'recent recommendations were higher than current one, applying the highest recent recommendation',
};
const REASONS = {
  DesiredWithinRange: 'the desired count is within the acceptable range',
  TooFewReplicas: 'the desired replica count is less than the minimum replica count',
  TooManyReplicas: 'the desired replica count is more than the maximum replica count',
  ScaleUpLimit: 'the desired replica count is increasing faster than the maximum scale rate',
  ScaleDownLimit: 'the desired replica count is decreasing faster than the maximum scale rate',
};

/** What is done of what the metrics call for: held by windows, slowed by policies, kept in bounds. Pure. */
export function planLimits(question: LimitQuestion): LimitAnswer {
  const { wanted } = question;
  const stable = stabilized(question);
  const able = stable === wanted ? READY : wanted >= question.current && question.spec.behavior ? UP_HELD : DOWN_HELD;
  const { replicas, reason } = bounded({ ...question, wanted: stable });
  const limited = { status: replicas === stable ? ('False' as const) : ('True' as const), reason, message: REASONS[reason] };
  return { replicas, able, limited };
}

function stabilized({ spec, current, wanted, recommendations, nowMs }: LimitQuestion): number {
  const { scaleUp, scaleDown } = spec.behavior ?? {};
  const within = (seconds: number) => recommendations.filter(({ atMs }) => atMs > nowMs - seconds * 1_000).map(({ replicas }) => replicas);
  const least = Math.min(wanted, ...within(scaleUp?.stabilizationWindowSeconds ?? 0));
  const most = Math.max(wanted, ...within(scaleDown?.stabilizationWindowSeconds ?? SCALE_DOWN_WINDOW_S));
  if (!spec.behavior) return most;
  return Math.min(Math.max(current, least), most);
}

function bounded({ spec, current, wanted, changes, nowMs }: LimitQuestion): { replicas: number; reason: keyof typeof REASONS } {
  const { minReplicas = 1, maxReplicas, behavior } = spec;
  const upLimit = behavior ? Math.max(current, upTo(current, behavior.scaleUp, changes, nowMs)) : Math.max(2 * current, 4);
  if (behavior ? wanted > current : true) {
    const most = Math.min(maxReplicas, upLimit);
    if (wanted > most) return { replicas: most, reason: maxReplicas > upLimit ? 'ScaleUpLimit' : 'TooManyReplicas' };
  }
  if (behavior && wanted >= current) return { replicas: wanted, reason: 'DesiredWithinRange' };
  const downLimit = behavior ? Math.min(current, downTo(current, behavior.scaleDown, changes, nowMs)) : 0;
  const least = Math.max(minReplicas, downLimit);
  if (wanted < least) return { replicas: least, reason: downLimit > minReplicas ? 'ScaleDownLimit' : 'TooFewReplicas' };
  return { replicas: wanted, reason: 'DesiredWithinRange' };
}

function upTo(current: number, rules: HPAScalingRules | undefined, changes: readonly ScaleChange[], nowMs: number): number {
  if (rules?.selectPolicy === 'Disabled') return current;
  const proposals = (rules?.policies ?? []).map(({ type, value, periodSeconds }) => {
    const start = current - changeWithin(changes, periodSeconds, nowMs);
    return type === 'Pods' ? start + value : Math.ceil(start * (1 + value / 100));
  });
  if (proposals.length === 0) return Number.MAX_SAFE_INTEGER;
  return rules?.selectPolicy === 'Min' ? Math.min(...proposals) : Math.max(...proposals);
}

function downTo(current: number, rules: HPAScalingRules | undefined, changes: readonly ScaleChange[], nowMs: number): number {
  if (rules?.selectPolicy === 'Disabled') return current;
  const proposals = (rules?.policies ?? []).map(({ type, value, periodSeconds }) => {
    const start = current - changeWithin(changes, periodSeconds, nowMs);
    return type === 'Pods' ? start - value : Math.trunc(start * (1 - value / 100));
  });
  if (proposals.length === 0) return 0;
  return rules?.selectPolicy === 'Min' ? Math.max(...proposals) : Math.min(...proposals);
}

function changeWithin(changes: readonly ScaleChange[], periodSeconds: number, nowMs: number): number {
  return changes.reduce((sum, { change, atMs }) => sum + (atMs > nowMs - periodSeconds * 1_000 ? change : 0), 0);
}
