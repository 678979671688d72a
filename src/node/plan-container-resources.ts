import { quantityMilliValue, quantityValue } from '#base/index.ts';
import type { Resources } from '#engine/engine.ts';
import { toPageSize } from '#engine/resource-checks.ts';
import type { Pod } from '#kinds/pod.ts';
import type { NodeFacts } from './downward.ts';
import type { ContainerSpec } from './parts.ts';

const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
const PERIOD_US = 100_000;
type Quantities = Record<string, string | number>;

/** Of the class `system-node-critical`. */
const NODE_CRITICAL_PRIORITY = 2_000_001_000;

/** CPU, memory, swap and huge pages as the kubelet writes them into control groups. Pure. */
export function planResources(pod: Pod, { resources = {} }: ContainerSpec, facts: NodeFacts): Resources {
  const { requests = {}, limits = {} } = resources;
  const memory = quantityValue(limits.memory ?? 0);
  return {
    ...planCpu(requests.cpu, limits.cpu),
    ...(memory > 0 ? { memoryLimitBytes: memory } : {}),
    ...planSwap(pod, { requestBytes: quantityValue(requests.memory ?? 0), limitBytes: memory }, facts),
    ...planHugepages(pod, limits, facts),
    // Of a container that runs out of memory no part goes on, as with the kubelet.
    ...(facts.traits?.cgroupVersion === 'v2' ? { unified: { 'memory.oom.group': '1' } } : {}),
    oomScoreAdj: oomScore(pod, quantityValue(requests.memory ?? limits.memory ?? 0), quantityValue(facts.allocatable.memory ?? 0)),
  };
}

/** What all of a pod's containers may have together, where its spec says so. Sizes of huge pages that it does not name are its containers'. Pure. */
export function planPodResources({ spec }: Pod): Resources {
  const { requests = {}, limits = {} } = spec.resources ?? {};
  const memory = quantityValue(limits.memory ?? 0);
  const hugepageLimits = [...hugepagesOf(limits)].map(([pageSize, limitBytes]) => ({ pageSize, limitBytes }));
  return {
    ...(hugepageLimits.length > 0 ? { hugepageLimits } : {}),
    ...planCpu(requests.cpu, limits.cpu),
    ...(memory > 0 ? { memoryLimitBytes: memory } : {}),
  };
}

function planCpu(request: string | number | undefined, limit: string | number | undefined): Resources {
  const requestMilli = quantityMilliValue(request ?? limit ?? 0);
  const limitMilli = quantityMilliValue(limit ?? 0);
  return {
    cpuShares: Math.min(Math.max(Math.floor((requestMilli * 1024) / 1000), MIN_SHARES), MAX_SHARES),
    ...(limitMilli > 0 ? { cpuQuotaUs: Math.max((limitMilli * PERIOD_US) / 1000, 1000), cpuPeriodUs: PERIOD_US } : {}),
  };
}

/** Guaranteed pods go last, best-effort ones first, burstable ones by how little they asked for. */
function oomScore({ spec, status }: Pod, requestBytes: number, nodeBytes: number): number {
  if (status?.qosClass === 'Guaranteed' || (spec.priority ?? 0) >= NODE_CRITICAL_PRIORITY) return -997;
  if (status?.qosClass !== 'Burstable' || nodeBytes === 0) return 1000;
  return Math.min(Math.max(1000 - Math.floor((1000 * requestBytes) / nodeBytes), 3), 999);
}

/**
 * A container has no swap unless the node's pods may have it: then, as with the kubelet's LimitedSwap, a burstable one has as much of the
 * node's swap as it asks for of its memory, and one whose limit is its request none. Pure.
 */
function planSwap(
  { status, spec }: Pod,
  { requestBytes, limitBytes }: { requestBytes: number; limitBytes: number },
  { traits, allocatable }: NodeFacts,
): Pick<Resources, 'memorySwapLimitBytes'> {
  if (traits?.swapBehavior !== 'LimitedSwap' || limitBytes === 0) return {};
  const isCritical = (spec.priority ?? 0) >= NODE_CRITICAL_PRIORITY;
  if (status?.qosClass !== 'Burstable' || isCritical || requestBytes === 0 || requestBytes === limitBytes) return {};
  const nodeBytes = quantityValue(allocatable.memory ?? 0);
  const share = nodeBytes > 0 ? Math.floor((requestBytes / nodeBytes) * traits.swapBytes) : 0;
  return share > 0 ? { memorySwapLimitBytes: limitBytes + share } : {};
}

/**
 * Every size that the node has is limited, to nothing where a container asks for none: else it could take what others are promised. Not
 * where there is nothing to take, nor where all of the pod's containers share a limit of that size.
 */
function planHugepages({ spec }: Pod, limits: Quantities, { traits, allocatable }: NodeFacts): Pick<Resources, 'hugepageLimits'> {
  const [own, shared] = [hugepagesOf(limits), hugepagesOf(spec.resources?.limits)];
  const sizes = own.size + shared.size > 0 || hasHugepages(allocatable) ? (traits?.hugepageSizes ?? []) : [];
  const limited = sizes.filter(pageSize => own.has(pageSize) || !shared.has(pageSize));
  return limited.length > 0 ? { hugepageLimits: limited.map(pageSize => ({ pageSize, limitBytes: own.get(pageSize) ?? 0 })) } : {};
}

const isHugepages = (name: string) => name.startsWith('hugepages-');

function hasHugepages(allocatable: Quantities): boolean {
  return Object.entries(allocatable).some(([name, quantity]) => isHugepages(name) && quantityValue(quantity) > 0);
}

/** Bytes by size, as control groups name it. */
function hugepagesOf(limits: Quantities = {}): Map<string, number> {
  const asked = Object.entries(limits).filter(([name]) => isHugepages(name));
  return new Map(asked.map(([name, quantity]) => [toPageSize(quantityValue(name.slice('hugepages-'.length))), quantityValue(quantity)]));
}
