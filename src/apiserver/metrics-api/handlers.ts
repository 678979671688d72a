import type { Clock } from '#base/clock.ts';
import { toTime } from '#base/clock.ts';
import type { KubeObject } from '#kinds/kind.ts';
import type { NodeMetrics, PodMetrics } from '#kinds/metrics.ts';
import type { Pod } from '#kinds/types.gen.ts';
import type { NodeConnector } from '../node-connector.ts';
import type { Context, Outcome, ResourceRoute } from '../request.ts';
import type { Stored } from '../resources.ts';
import { parseSelection, selects } from '../selection.ts';
import { notFound } from '../status.ts';
import type { StoredObject } from '../stored-object.ts';
import { toPartial, toTable } from '../table.ts';
import { NodeReadings } from './node-readings.ts';
import { nodeUsage, podUsage, windowText } from './usage.ts';

export interface MetricsApiOptions {
  connector: NodeConnector;
  nodes: Stored;
  pods: Stored;
  clock: Clock;
}

type Handler = (context: Context<ResourceRoute>) => Promise<Outcome>;

/**
 * `metrics.k8s.io`: what nodes and pods use, for `kubectl top` and the autoscaler. Nothing is measured while nobody asks; a node that
 * can't be asked, and what runs on it, is missing from the answer.
 */
export function metricsHandlers({ connector, nodes, pods, clock }: MetricsApiOptions): [string, Handler][] {
  const readings = new NodeReadings({ connector, clock });

  async function ofNodes(chosen: readonly StoredObject[]): Promise<KubeObject[]> {
    readings.keepOnly(name => nodes.cache.get(name) !== undefined);
    const all = chosen.map(async (stored): Promise<NodeMetrics[]> => {
      const { metadata } = stored.object();
      const pair = await readings.of(metadata.name);
      const mean = pair && nodeUsage(pair.before, pair.after);
      return mean ? [{ ...headOf('NodeMetrics', metadata, mean, clock), usage: mean.usage }] : [];
    });
    return (await Promise.all(all)).flat();
  }

  async function ofPods(chosen: readonly StoredObject[]): Promise<KubeObject[]> {
    const all = chosen.map(async (stored): Promise<PodMetrics[]> => {
      const { metadata, spec } = stored.object<Pod>();
      const pair = spec.nodeName ? await readings.of(spec.nodeName) : undefined;
      const mean = pair && podUsage(pair.before, pair.after, metadata.uid);
      return mean ? [{ ...headOf('PodMetrics', metadata, mean, clock), containers: mean.containers }] : [];
    });
    return (await Promise.all(all)).flat();
  }

  const handler = (source: Stored, measured: typeof ofPods, resource: string): Handler => {
    const named = { group: 'metrics.k8s.io', plural: resource, kind: resource };
    return async context => {
      const { namespace, name } = context.route;
      const selection = parseSelection(source, namespace, context.query, name);
      const chosen = [...source.cache.snapshot().view.range(selection.from, selection.to)].filter(object => selects(selection, object));
      const items = await measured(chosen);
      if (!name) return { type: 'value', status: 200, value: listed(context, items, clock.now()) };
      const [item] = items;
      if (!item) throw notFound(named, namespace ? `${namespace}/${name}` : name);
      return { type: 'value', status: 200, value: item, served: context.route.served };
    };
  };
  return [
    ['nodes.metrics.k8s.io', handler(nodes, ofNodes, 'nodemetrics')],
    ['pods.metrics.k8s.io', handler(pods, ofPods, 'podmetrics')],
  ];
}

function headOf<K extends string>(
  kind: K,
  { name, namespace, labels }: KubeObject['metadata'],
  { timestampMs, windowMs }: { timestampMs: number; windowMs: number },
  clock: Clock,
) {
  const metadata = { name, ...(namespace && { namespace }), creationTimestamp: toTime(clock.now()), ...(labels && { labels }) };
  return {
    kind,
    apiVersion: 'metrics.k8s.io/v1beta1',
    metadata: metadata as KubeObject['metadata'],
    timestamp: toTime(timestampMs),
    window: windowText(windowMs),
  };
}

/** The list in the form that was asked for. */
function listed({ media, query, route: { served } }: Context<ResourceRoute>, items: KubeObject[], nowMs: number): object {
  if (media.as === 'table') return { ...toTable(served, items, query.get('includeObject') ?? 'Metadata', nowMs), metadata: {} };
  if (media.as === 'partial')
    return { kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1', metadata: {}, items: items.map(toPartial) };
  return { kind: `${served.resource.kind}List`, apiVersion: served.apiVersion, metadata: {}, items };
}
