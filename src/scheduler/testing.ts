import type { Node } from '#kinds/node.ts';
import type { Pod } from '#kinds/pod.ts';
import { explain, place } from './place.ts';
import type { Plugins } from './plugin.ts';
import { createPlugins } from './plugins.ts';
import { candidateOf, type Placed, World, type WorldOptions } from './world.ts';

const metadata = (name: string) => ({ name, uid: name, resourceVersion: '1', creationTimestamp: '' });

export interface NodeDraft {
  cpu?: string;
  pods?: string;
  labels?: Record<string, string>;
  taints?: NonNullable<Node['spec']['taints']>;
  unschedulable?: boolean;
  images?: Record<string, number>;
}

/** A node of 2 CPUs that takes three pods, unless told otherwise; its hostname is a label. For tests. */
export function node(
  name: string,
  { cpu = '2', pods = '3', labels = {}, taints, unschedulable = false, images = {} }: NodeDraft = {},
): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { ...metadata(name), labels: { 'kubernetes.io/hostname': name, ...labels } },
    spec: { unschedulable, ...(taints ? { taints } : {}) },
    status: {
      allocatable: { cpu, memory: '4Gi', pods },
      images: Object.entries(images).map(([image, sizeBytes]) => ({ names: [image], sizeBytes })),
    },
  };
}

export interface PodDraft extends Partial<Omit<Pod['spec'], 'containers'>> {
  name?: string;
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  cpu?: string;
  hostPort?: number;
  status?: Pod['status'];
  deletionTimestamp?: string;
}

/** A pod of one container that asks for 1 CPU, unless told otherwise. For tests. */
export function pod(draft: PodDraft = {}): Pod {
  const { name = 'p', namespace = 'n', labels, annotations, cpu = '1', hostPort, status, deletionTimestamp, ...spec } = draft;
  const ports = hostPort ? [{ containerPort: 80, hostPort, protocol: 'TCP' }] : [];
  const containers = [{ name: 'c', image: 'i', resources: { requests: { cpu } }, ports }];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...metadata(name),
      namespace,
      ...(labels ? { labels } : {}),
      ...(annotations ? { annotations } : {}),
      ...(deletionTimestamp ? { deletionTimestamp } : {}),
    },
    spec: { containers, ...spec },
    ...(status ? { status } : {}),
  };
}

export function world(nodes: readonly Node[], options: WorldOptions = {}): World {
  const made = new World(options);
  for (const each of nodes) made.putNode(each);
  return made;
}

/** Has the pods on a node of `on`. */
export function put(on: World, node: string, ...pods: Pod[]): Placed[] {
  return pods.map(each => on.place(candidateOf(`${each.metadata.namespace}/${each.metadata.name}`, each), node));
}

/** Where the pod goes, or why it goes nowhere. */
export function run(of: Pod, on: World, plugins: Plugins = createPlugins()): string {
  const placement = place(candidateOf(`${of.metadata.namespace}/${of.metadata.name}`, of), on, plugins, { next: 0 });
  return placement.row === undefined ? explain(placement, on.table.size) : placement.node;
}
