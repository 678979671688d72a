import { quantityMilliValue, quantityValue, UmiakError } from '#base/index.ts';
import type { Pod } from '#kinds/pod.ts';
import type { ContainerSpec } from './parts.ts';

/** What of a pod is known only on its node. */
export interface NodeFacts {
  nodeName: string;
  hostAddress: string;
  /** The pod's address; known once its sandbox is there. */
  podAddress?: string | undefined;
  /** What a container without a limit may use. */
  allocatable: Record<string, string>;
  /** What the kernel has, for plans that depend on it. */
  traits?: NodeTraits;
}

/** What this machine's kernel gives to containers. */
export interface NodeTraits {
  cgroupVersion: 'v1' | 'hybrid' | 'v2';
  /** As control groups name them: `2MB`. */
  hugepageSizes: readonly string[];
  hasAppArmor: boolean;
  hasSelinux: boolean;
  swapBytes: number;
  /** Whether pods may swap. */
  swapBehavior: 'NoSwap' | 'LimitedSwap';
}

/** The value of a `fieldRef`. @throws `Invalid` for a path that the downward API does not have */
export function fieldValue(pod: Pod, fieldPath: string, facts: NodeFacts): string {
  const { metadata, spec } = pod;
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(fieldPath);
  if (subscript) return metadata[subscript[1] as 'labels' | 'annotations']?.[subscript[2] ?? ''] ?? '';
  switch (fieldPath) {
    case 'metadata.name':
      return metadata.name;
    case 'metadata.namespace':
      return metadata.namespace ?? '';
    case 'metadata.uid':
      return metadata.uid;
    case 'metadata.labels':
      return toLines(metadata.labels);
    case 'metadata.annotations':
      return toLines(metadata.annotations);
    case 'spec.nodeName':
      return facts.nodeName;
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? 'default';
    case 'status.hostIP':
    case 'status.hostIPs':
      return facts.hostAddress;
    case 'status.podIP':
    case 'status.podIPs':
      return facts.podAddress ?? pod.status?.podIP ?? '';
    default:
      throw new UmiakError('Invalid', `the downward API has no field ${JSON.stringify(fieldPath)}`);
  }
}

interface ResourceSelector {
  containerName?: string | undefined;
  resource: string;
  divisor?: string | number | undefined;
}

/** The value of a `resourceFieldRef`, in units of its divisor, rounded up. A missing limit is what the node has to give. */
export function resourceValue(pod: Pod, selector: ResourceSelector, here: ContainerSpec | undefined, facts: NodeFacts): string {
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const container = selector.containerName ? all.find(({ name }) => name === selector.containerName) : here;
  if (!container) throw new UmiakError('Invalid', `the pod has no container ${JSON.stringify(selector.containerName ?? '')}`);
  const [which, ...rest] = selector.resource.split('.');
  const resource = rest.join('.');
  if (which !== 'limits' && which !== 'requests')
    throw new UmiakError('Invalid', `${JSON.stringify(selector.resource)} is no resource of a container`);
  const own = container.resources?.[which]?.[resource];
  const amount = own ?? (which === 'limits' ? (facts.allocatable[resource] ?? '0') : '0');
  const divisor = !selector.divisor || quantityMilliValue(selector.divisor) === 0 ? '1' : selector.divisor;
  if (resource === 'cpu') return String(Math.ceil(quantityMilliValue(amount) / quantityMilliValue(divisor)));
  return String(Math.ceil(quantityValue(amount) / quantityValue(divisor)));
}

/** `key="value"` lines, sorted, values escaped as Go writes strings. */
function toLines(map: Record<string, string> | undefined): string {
  return Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');
}
