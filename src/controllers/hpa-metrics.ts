import { formatQuantity, messageOf, parseQuantity, quantityMilliValue } from '#base/index.ts';
import type { ReconcileClient } from '#client/index.ts';
import type { HorizontalPodAutoscaler } from '#kinds/autoscaling.ts';
import { PodMetrics } from '#kinds/metrics.ts';
import type { Pod } from '#kinds/pod.ts';
import type { MetricSpec, MetricStatus, MetricTarget } from '#kinds/types.gen.ts';
import { type PodUse, planByUsage, type Tolerances } from './hpa-usage.ts';

/** A cluster-wide default: a tenth more or less is close enough. */
const DEFAULT_TOLERANCE = 0.1;

export interface MetricQuestion {
  client: ReconcileClient;
  namespace: string;
  /** Of the target's pods. */
  selector: string;
  pods: readonly Pod[];
  currentReplicas: number;
  behavior: HorizontalPodAutoscaler['spec']['behavior'];
  nowMs: number;
}

/** What one metric calls for. */
export interface MetricAnswer {
  replicas: number;
  /** What is above its target, in events. */
  name: string;
  status: MetricStatus;
}

/** Why a metric can't be had: the reason of the condition `ScalingActive` and of the event. */
export function failureReason({ type }: MetricSpec): string {
  return TYPES.has(type) ? `FailedGet${type}Metric` : 'InvalidMetricSourceType';
}

const TYPES = new Set(['Resource', 'ContainerResource', 'Pods', 'Object', 'External']);

/** How many replicas a metric calls for. @throws Error when it can't be had */
export async function answerMetric(metric: MetricSpec, question: MetricQuestion): Promise<MetricAnswer> {
  const { resource, containerResource, pods, object, external } = metric;
  if (metric.type === 'Resource' && resource) {
    const { name, current, replicas } = await byResource(resource, undefined, question);
    return { replicas, name, status: { type: metric.type, resource: { name: resource.name, current } } };
  }
  if (metric.type === 'ContainerResource' && containerResource) {
    const { container } = containerResource;
    const { name, current, replicas } = await byResource(containerResource, container, question);
    return { replicas, name, status: { type: metric.type, containerResource: { name: containerResource.name, container, current } } };
  }
  const asked = pods ?? object ?? external;
  if (!TYPES.has(metric.type) || !asked) throw new Error(`unknown metric source type "${metric.type}"`);
  const api = external ? 'external' : 'custom';
  throw new Error(
    `unable to get ${external ? 'external ' : ''}metric ${asked.metric.name}: unable to fetch metrics from ${api} metrics API: the server could not find the requested resource`,
  );
}

/** Within which share of the target nothing is done. */
function tolerancesOf(behavior: MetricQuestion['behavior']): Tolerances {
  const share = (text: string | number | undefined) => (text === undefined ? DEFAULT_TOLERANCE : quantityMilliValue(text) / 1_000);
  return { up: share(behavior?.scaleUp?.tolerance), down: share(behavior?.scaleDown?.tolerance) };
}

async function byResource(
  { name: resource, target }: { name: string; target: MetricTarget },
  container: string | undefined,
  { client, namespace, selector, pods, currentReplicas, behavior, nowMs }: MetricQuestion,
) {
  const uses = await usesOf(client, { namespace, selector, resource, container });
  const what = `${resource}${container ? ' container' : ''} resource`;
  const common = { currentReplicas, pods, uses, resource, tolerances: tolerancesOf(behavior), nowMs };
  if (target.averageValue !== undefined) {
    const averageMilli = quantityMilliValue(target.averageValue);
    const answer = planByUsage({ ...common, target: { averageMilli } });
    return { ...answer, name: what, current: { averageValue: milliText(answer.averageMilli) } };
  }
  if (target.averageUtilization === undefined)
    throw new Error('invalid resource metric source: neither an average utilization target nor an average value (raw) target was set');
  const requests = requestsOf(pods, resource, container);
  const answer = planByUsage({ ...common, target: { utilization: target.averageUtilization, requests } });
  const current = { averageUtilization: answer.utilization ?? 0, averageValue: milliText(answer.averageMilli) };
  return { ...answer, name: `${what} utilization (percentage of request)`, current };
}

async function usesOf(
  client: ReconcileClient,
  { namespace, selector, resource, container }: { namespace: string; selector: string; resource: string; container: string | undefined },
): Promise<Map<string, PodUse>> {
  const failed = `unable to get metrics for resource ${resource}:`;
  const { items } = await client.list(PodMetrics, { namespace, labelSelector: selector }).catch(error => {
    throw new Error(`${failed} unable to fetch metrics from resource metrics API: ${messageOf(error)}`);
  });
  if (items.length === 0) throw new Error(`${failed} no metrics returned from resource metrics API`);
  const uses = new Map<string, PodUse>();
  for (const { metadata, containers, timestamp, window } of items) {
    const chosen = containers.filter(({ name }) => container === undefined || name === container);
    const amounts = chosen.map(({ usage }) => usage[resource]).filter(amount => amount !== undefined);
    if (chosen.length === 0 || amounts.length < chosen.length) continue;
    const milli = amounts.reduce((sum, amount) => sum + quantityMilliValue(amount), 0);
    uses.set(metadata.name, { milli, timestampMs: Date.parse(timestamp), windowMs: windowMs(window) });
  }
  return uses;
}

/** `15s`, `1m0.5s` */
function windowMs(text: string): number {
  const match = /^(?:(\d+)m)?([\d.]+)s$/.exec(text);
  return match ? (Number(match[1] ?? 0) * 60 + Number(match[2])) * 1_000 : 0;
}

function requestsOf(pods: readonly Pod[], resource: string, container: string | undefined): Map<string, number> {
  return new Map(
    pods.map(({ metadata, spec }) => {
      const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
      const counted = [...spec.containers, ...sidecars].filter(({ name }) => container === undefined || name === container);
      const milli = counted.map(({ name, resources }) => {
        const request = resources?.requests?.[resource];
        if (request === undefined) throw new Error(`missing request for ${resource} in container ${name} of Pod ${metadata.name}`);
        return quantityMilliValue(request);
      });
      return [metadata.name, milli.reduce((sum, amount) => sum + amount, 0)] as const;
    }),
  );
}

function milliText(milli: number): string {
  return formatQuantity(parseQuantity(`${milli}m`));
}
