import type { KubeObject } from '#kinds/kind.ts';

type Loose = Record<string, unknown>;

/** Turns objects between the version that is stored and another one that is served. Both ways change nothing that the other can't show. */
export interface Conversion {
  /** `group/plural/version` of the stored one, see `storageOf`. */
  toStored(object: KubeObject): KubeObject;
  fromStored(object: KubeObject): KubeObject;
}

/** Which resource holds a served one's objects when it isn't itself, and how to get there. */
export const CONVERSIONS: Record<string, { stored: { group: string; version: string; plural: string }; conversion: Conversion }> = {
  'events.k8s.io/v1/events': {
    stored: { group: '', version: 'v1', plural: 'events' },
    conversion: renaming('v1', 'events.k8s.io/v1', {
      regarding: 'involvedObject',
      note: 'message',
      reportingController: 'reportingComponent',
      deprecatedSource: 'source',
      deprecatedFirstTimestamp: 'firstTimestamp',
      deprecatedLastTimestamp: 'lastTimestamp',
      deprecatedCount: 'count',
    }),
  },
  'autoscaling/v1/horizontalpodautoscalers': {
    stored: { group: 'autoscaling', version: 'v2', plural: 'horizontalpodautoscalers' },
    conversion: { toStored: autoscalerToV2, fromStored: autoscalerToV1 },
  },
};

/** Events' conversion only renames top-level fields; `names` goes from the served name to the stored one. */
function renaming(storedVersion: string, servedVersion: string, names: Record<string, string>): Conversion {
  const back = Object.fromEntries(Object.entries(names).map(([served, stored]) => [stored, served]));
  const rename = (object: KubeObject, table: Record<string, string>, apiVersion: string) => ({
    ...(Object.fromEntries(Object.entries(object).map(([name, value]) => [table[name] ?? name, value])) as unknown as KubeObject),
    apiVersion,
  });
  return {
    toStored: object => ({ involvedObject: {}, ...rename(object, names, storedVersion) }) as KubeObject,
    fromStored: object => rename(object, back, servedVersion),
  };
}

/** v1 has no place for other metrics than CPU; they travel in this annotation, as upstream lets them. */
const METRICS = 'autoscaling.alpha.kubernetes.io/metrics';
const BEHAVIOR = 'autoscaling.alpha.kubernetes.io/behavior';

function autoscalerToV2(object: KubeObject): KubeObject {
  const { spec = {}, ...rest } = object as KubeObject & { spec?: Loose };
  const { targetCPUUtilizationPercentage: target, ...kept } = spec;
  const { [METRICS]: metricsText, [BEHAVIOR]: behaviorText, ...annotations } = object.metadata.annotations ?? {};
  const metrics = parsed(metricsText);
  const list = Array.isArray(metrics) ? [...metrics] : [];
  if (target !== undefined)
    list.unshift({ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: target } } });
  const behavior = parsed(behaviorText);
  return {
    ...rest,
    apiVersion: 'autoscaling/v2',
    metadata: { ...object.metadata, annotations },
    spec: { ...kept, ...(list.length > 0 && { metrics: list }), ...(behavior !== undefined && { behavior }) },
  } as KubeObject;
}

function autoscalerToV1(object: KubeObject): KubeObject {
  const { spec = {}, status, ...rest } = object as KubeObject & { spec?: Loose; status?: Loose };
  const { metrics, behavior, ...kept } = spec;
  const list = Array.isArray(metrics) ? (metrics as Loose[]) : [];
  const target = list.map(cpuTarget).find(percentage => percentage !== undefined);
  const others = list.filter(metric => cpuTarget(metric) === undefined);
  const { conditions: _conditions, currentMetrics: _metrics, ...keptStatus } = status ?? {};
  const annotations = {
    ...object.metadata.annotations,
    ...(others.length > 0 && { [METRICS]: JSON.stringify(others) }),
    ...(behavior !== undefined && { [BEHAVIOR]: JSON.stringify(behavior) }),
  };
  return {
    ...rest,
    apiVersion: 'autoscaling/v1',
    metadata: { ...object.metadata, ...(Object.keys(annotations).length > 0 && { annotations }) },
    spec: { ...kept, ...(target !== undefined && { targetCPUUtilizationPercentage: target }) },
    ...(status && { status: keptStatus }),
  } as KubeObject;
}

function cpuTarget(metric: Loose): number | undefined {
  const resource = metric.resource as { name?: string; target?: { averageUtilization?: number } } | undefined;
  return metric.type === 'Resource' && resource?.name === 'cpu' ? resource.target?.averageUtilization : undefined;
}

function parsed(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
