import { formatQuantity, parseQuantity } from '#base/quantity.ts';
import type { Column, Kind, KubeObject } from './kind.ts';

/** What runs now uses of `cpu` and `memory`: quantities. */
export type Usage = Record<string, string>;

/** A measure of `metrics.k8s.io`: the mean use over `window` until `timestamp`. */
interface Measured extends KubeObject {
  timestamp: string;
  /** A duration as Go writes it: `15s`. */
  window: string;
}

export interface NodeMetrics extends Measured {
  usage: Usage;
}

export interface PodMetrics extends Measured {
  containers: { name: string; usage: Usage }[];
}

const GROUP = 'metrics.k8s.io';
const VERSION = 'v1beta1';
const USAGE = { type: 'object', description: 'Quantities by the name of the resource.', additionalProperties: { type: 'string' } };

/** What a node uses. */
export const NodeMetrics: Kind<NodeMetrics> = metricsKind<NodeMetrics>({
  kind: 'NodeMetrics',
  plural: 'nodes',
  namespaced: false,
  properties: { usage: USAGE },
  usageOf: ({ usage }) => [usage],
});

/** What a pod's containers use. */
export const PodMetrics: Kind<PodMetrics> = metricsKind<PodMetrics>({
  kind: 'PodMetrics',
  plural: 'pods',
  namespaced: true,
  properties: {
    containers: {
      type: 'array',
      description: 'Each container that runs.',
      items: { type: 'object', properties: { name: { type: 'string' }, usage: USAGE } },
    },
  },
  usageOf: ({ containers }) => containers.map(({ usage }) => usage),
});

/** Computed when asked for, from what nodes measure; served where there is a way to the nodes. */
export const metricsKinds: readonly Kind[] = [NodeMetrics, PodMetrics];

/** The sum of several uses of one resource. */
function sumOfUsage(usages: readonly Usage[], resource: string): string {
  const amounts = usages.map(usage => parseQuantity(usage[resource] ?? '0'));
  return formatQuantity({ nano: amounts.reduce((sum, { nano }) => sum + nano, 0n), format: amounts[0]?.format ?? 'DecimalSI' });
}

interface MetricsKindOptions<T> {
  kind: string;
  plural: string;
  namespaced: boolean;
  properties: Record<string, object>;
  usageOf(object: T): Usage[];
}

function metricsKind<T extends Measured>({ kind, plural, namespaced, properties, usageOf }: MetricsKindOptions<T>): Kind<T> {
  const columns: Column<T>[] = [
    { name: 'Name', type: 'string', format: 'name', value: ({ metadata }) => metadata.name },
    { name: 'cpu', type: 'string', value: object => sumOfUsage(usageOf(object), 'cpu') },
    { name: 'memory', type: 'string', value: object => sumOfUsage(usageOf(object), 'memory') },
    { name: 'Window', type: 'string', value: ({ window }) => window },
  ];
  const schema = () => ({
    type: 'object',
    description: `What ${plural} use of cpu and memory, over a window of time.`,
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      timestamp: { type: 'string', format: 'date-time' },
      window: { type: 'string' },
      ...properties,
    },
    'x-kubernetes-group-version-kind': [{ group: GROUP, version: VERSION, kind }],
  });
  return {
    resource: { group: GROUP, version: VERSION, kind, plural, singular: '', namespaced, verbs: ['get', 'list'] },
    type: `io.k8s.metrics.pkg.apis.metrics.${VERSION}.${kind}`,
    virtual: true,
    openApi: { revision: VERSION, schema },
    columns,
  };
}
