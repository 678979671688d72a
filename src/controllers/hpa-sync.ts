import { matchesLabels, messageOf, parseLabelSelector, toTime } from '#base/index.ts';
import type { Reconciling } from '#client/index.ts';
import { keyText } from '#client/informer.ts';
import { HorizontalPodAutoscaler } from '#kinds/autoscaling.ts';
import type { Kind } from '#kinds/kind.ts';
import { Pod } from '#kinds/pod.ts';
import type { HorizontalPodAutoscalerStatus, MetricStatus, Scale } from '#kinds/types.gen.ts';
import { ignoreAbsent } from './absence.ts';
import type { CustomKinds } from './custom-kinds.ts';
import { LONGEST_MEMORY_MS, planLimits, type Recommendation, type ScaleChange } from './hpa-limits.ts';
import { answerMetric, failureReason, type MetricAnswer } from './hpa-metrics.ts';
import { findReferredKind, getScale } from './scale-target.ts';
import { isSameStatus, setCondition } from './status.ts';

/** What is remembered of one autoscaler: of this process only, as the windows are short. */
export interface Memory {
  /** Of its target's pods. */
  selector: string;
  recommendations: Recommendation[];
  changes: ScaleChange[];
}

type Conditions = NonNullable<HorizontalPodAutoscalerStatus['conditions']>;

export interface HpaSyncOptions {
  autoscaler: HorizontalPodAutoscaler;
  memory: Memory;
  /** Of the other autoscalers of the namespace, by key. */
  others: ReadonlyMap<string, Memory>;
  context: Reconciling;
  customKinds: CustomKinds | undefined;
}

/** One look at one autoscaler's target, and what follows from it. */
export class HpaSync {
  readonly #autoscaler: HorizontalPodAutoscaler;
  readonly #memory: Memory;
  readonly #others: ReadonlyMap<string, Memory>;
  readonly #context: Reconciling;
  readonly #customKinds: CustomKinds | undefined;
  readonly #nowMs: number;
  #conditions: Conditions;

  constructor({ autoscaler, memory, others, context, customKinds }: HpaSyncOptions) {
    this.#autoscaler = autoscaler;
    this.#memory = memory;
    this.#others = others;
    this.#context = context;
    this.#customKinds = customKinds;
    this.#nowMs = context.clock.now();
    this.#conditions = autoscaler.status?.conditions ?? [];
  }

  async run(): Promise<void> {
    const target = await this.#findTarget();
    if (!target) return await this.#write({});
    const { kind, scale } = target;
    const { minReplicas = 1, maxReplicas } = this.#autoscaler.spec;
    const currentReplicas = scale.spec?.replicas ?? 0;
    const { recommendations } = this.#memory;
    if (recommendations.length === 0) recommendations.push({ replicas: currentReplicas, atMs: this.#nowMs });
    if (currentReplicas === 0 && minReplicas !== 0) {
      this.#say('ScalingActive', 'False', 'ScalingDisabled', 'scaling is disabled since the replica count of the target is zero');
      return await this.#write({ currentReplicas, desiredReplicas: 0 });
    }
    if (currentReplicas > maxReplicas)
      return await this.#rescale(kind, scale, maxReplicas, 'Current number of replicas above Spec.MaxReplicas');
    if (currentReplicas < minReplicas)
      return await this.#rescale(kind, scale, minReplicas, 'Current number of replicas below Spec.MinReplicas');
    const answer = await this.#askMetrics(scale);
    if (!answer) return await this.#write({ currentReplicas });
    const { wanted, name, statuses } = answer;
    const reason = wanted > currentReplicas ? `${name} above target` : 'All metrics below target';
    await this.#rescale(kind, scale, this.#limit(currentReplicas, wanted), reason, statuses);
  }

  async #findTarget(): Promise<{ kind: Kind; scale: Scale } | undefined> {
    const { apiVersion = 'v1', kind: kindName, name } = this.#autoscaler.spec.scaleTargetRef;
    const { client, events } = this.#context;
    const { namespace } = this.#autoscaler.metadata;
    try {
      const kind = findReferredKind(apiVersion, kindName, this.#customKinds);
      if (!kind)
        throw new Error(`no matches for kind "${kindName}" in group "${apiVersion.includes('/') ? apiVersion.split('/')[0] : ''}"`);
      const scale = await getScale(client, kind, { namespace, name });
      const { group, plural } = kind.resource;
      if (!scale) throw new Error(`${group ? `${plural}.${group}` : plural} "${name}" not found`);
      this.#say('AbleToScale', 'True', 'SucceededGetScale', "the HPA controller was able to get the target's current scale");
      return { kind, scale };
    } catch (error) {
      const why = messageOf(error);
      events.warning(this.#autoscaler, 'FailedGetScale', why);
      this.#say('AbleToScale', 'False', 'FailedGetScale', `the HPA controller was unable to get the target's current scale: ${why}`);
      return undefined;
    }
  }

  /** What the metrics call for: the most that one of them does. Undefined when too little is known. */
  async #askMetrics(scale: Scale): Promise<{ wanted: number; name: string; statuses: MetricStatus[] } | undefined> {
    const { client, events } = this.#context;
    const { spec, metadata } = this.#autoscaler;
    const currentReplicas = scale.spec?.replicas ?? 0;
    const pods = this.#selectPods(scale.status?.selector ?? '');
    if (!pods) return undefined;
    const { namespace = '' } = metadata;
    const { behavior, metrics = [] } = spec;
    const question = { client, namespace, selector: this.#memory.selector, pods, currentReplicas, behavior, nowMs: this.#nowMs };
    let best: MetricAnswer | undefined;
    let failure: { reason: string; why: string } | undefined;
    let failures = 0;
    const statuses: MetricStatus[] = [];
    for (const metric of metrics) {
      try {
        const answer = await answerMetric(metric, question);
        statuses.push(answer.status);
        if (!best || answer.replicas > best.replicas) best = answer;
      } catch (error) {
        const [reason, why] = [failureReason(metric), messageOf(error)];
        events.warning(this.#autoscaler, reason, why);
        statuses.push({ type: metric.type });
        failure ??= { reason, why };
        failures += 1;
      }
    }
    if (failure && (!best || best.replicas < currentReplicas)) {
      this.#say('ScalingActive', 'False', failure.reason, `the HPA was unable to compute the replica count: ${failure.why}`);
      const why = `invalid metrics (${failures} invalid out of ${metrics.length}), first error is: ${failure.why}`;
      events.warning(this.#autoscaler, 'FailedComputeMetricsReplicas', why);
      return undefined;
    }
    if (!best) return undefined;
    const found = `the HPA was able to successfully calculate a replica count from ${best.name}`;
    this.#say('ScalingActive', 'True', 'ValidMetricFound', found);
    return { wanted: best.replicas, name: best.name, statuses };
  }

  #selectPods(selector: string): Pod[] | undefined {
    const { client, events } = this.#context;
    if (!selector) {
      events.warning(this.#autoscaler, 'SelectorRequired', 'selector is required');
      this.#say('ScalingActive', 'False', 'InvalidSelector', "the HPA target's scale is missing a selector");
      return undefined;
    }
    this.#memory.selector = selector;
    const chosen = (text: string) => client.cached(Pod).list(this.#autoscaler.metadata.namespace).filter(selectedBy(text));
    const pods = chosen(selector);
    const rivals = [...this.#others].filter(([, other]) => other.selector && pods.some(selectedBy(other.selector))).map(([name]) => name);
    if (rivals.length > 0) {
      const all = [keyText(this.#autoscaler.metadata), ...rivals].toSorted();
      const why = `pods by selector ${selector} are controlled by multiple HPAs: [${all.join(' ')}]`;
      events.warning(this.#autoscaler, 'AmbiguousSelector', why);
      this.#say('ScalingActive', 'False', 'AmbiguousSelector', why);
      return undefined;
    }
    return pods;
  }

  #limit(current: number, wanted: number): number {
    const { recommendations, changes } = this.#memory;
    const { spec } = this.#autoscaler;
    const { replicas, able, limited } = planLimits({ spec, current, wanted, recommendations, changes, nowMs: this.#nowMs });
    const isRemembered = ({ atMs }: { atMs: number }) => atMs > this.#nowMs - LONGEST_MEMORY_MS;
    this.#memory.recommendations = [...recommendations.filter(isRemembered), { replicas: wanted, atMs: this.#nowMs }];
    this.#memory.changes = changes.filter(isRemembered);
    this.#say('AbleToScale', 'True', able.reason, able.message);
    this.#say('ScalingLimited', limited.status, limited.reason, limited.message);
    return replicas;
  }

  async #rescale(kind: Kind, scale: Scale, replicas: number, reason: string, currentMetrics?: MetricStatus[]): Promise<void> {
    const { client, events } = this.#context;
    const currentReplicas = scale.spec?.replicas ?? 0;
    const status = { currentReplicas, desiredReplicas: replicas, ...(currentMetrics && { currentMetrics }) };
    if (replicas === currentReplicas) return await this.#write(status);
    const { namespace } = this.#autoscaler.metadata;
    const { name } = this.#autoscaler.spec.scaleTargetRef;
    try {
      await client.replaceSubresource(kind, { namespace, name }, 'scale', { ...scale, spec: { ...scale.spec, replicas } });
    } catch (error) {
      const why = messageOf(error);
      events.warning(this.#autoscaler, 'FailedRescale', `New size: ${replicas}; reason: ${reason}; error: ${why}`);
      this.#say('AbleToScale', 'False', 'FailedUpdateScale', `the HPA controller was unable to update the target scale: ${why}`);
      return await this.#write({ currentReplicas });
    }
    this.#memory.changes.push({ change: replicas - currentReplicas, atMs: this.#nowMs });
    events.normal(this.#autoscaler, 'SuccessfulRescale', `New size: ${replicas}; reason: ${reason}`);
    this.#say('AbleToScale', 'True', 'SucceededRescale', `the HPA controller was able to update the target scale to ${replicas}`);
    await this.#write({ ...status, lastScaleTime: toTime(this.#nowMs) });
  }

  #say(type: string, status: string, reason: string, message: string): void {
    this.#conditions = setCondition(this.#conditions, { type, status, reason, message }, this.#nowMs);
  }

  async #write(change: Partial<HorizontalPodAutoscalerStatus>): Promise<void> {
    const { status: before, metadata } = this.#autoscaler;
    const status: HorizontalPodAutoscalerStatus = {
      desiredReplicas: 0,
      ...before,
      ...change,
      conditions: this.#conditions,
      ...(metadata.generation && { observedGeneration: metadata.generation }),
    };
    if (isSameStatus(before, status)) return;
    await ignoreAbsent(this.#context.client.updateStatus(HorizontalPodAutoscaler, { ...this.#autoscaler, status }));
  }
}

function selectedBy(selector: string): (pod: Pod) => boolean {
  const requirements = parseLabelSelector(selector);
  return ({ metadata }) => matchesLabels(requirements, metadata.labels);
}
