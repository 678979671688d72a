import type { Pod } from '#kinds/pod.ts';
import { amountsOf, podRequests } from '#kinds/pod-resources.ts';
import type { ContainerSpec } from './parts.ts';
import { type AdmissionPicture, planFit } from './plan-admission.ts';

/** What containers were granted, by name: their `resources` as the spec had them then. */
export type Allocation = ReadonlyMap<string, ContainerSpec['resources']>;

/** Why a resize is not granted: `Deferred` until others make room, `Infeasible` on this node whatever happens. */
export interface PendingResize {
  reason: 'Deferred' | 'Infeasible';
  message: string;
}

/** All that the spec asks for. Pure. */
export function specAllocation({ spec }: Pod): Allocation {
  return new Map([...(spec.initContainers ?? []), ...spec.containers].map(({ name, resources }) => [name, resources]));
}

/**
 * What was granted before this process began, as the API was told: containers that have run say it, the others have what the spec asks
 * for. Pure.
 */
export function toldAllocation(pod: Pod): Allocation {
  const told = new Map(
    [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])].map(status => [status.name, status]),
  );
  return new Map(
    [...specAllocation(pod)].map(([name, resources]) => {
      const { resources: shown, allocatedResources } = told.get(name) ?? {};
      if (!shown) return [name, resources];
      const requests = allocatedResources ?? shown.requests;
      return [name, { ...resources, ...(shown.limits ? { limits: shown.limits } : {}), ...(requests ? { requests } : {}) }];
    }),
  );
}

/** The pod as if its spec asked for what it was granted; the same object where it does. Pure. */
export function withAllocation(pod: Pod, allocation: Allocation): Pod {
  const { containers, initContainers } = pod.spec;
  if ([...(initContainers ?? []), ...containers].every(container => isGranted(container, allocation))) return pod;
  const granted = (container: ContainerSpec): ContainerSpec => {
    if (isGranted(container, allocation)) return container;
    const { resources: _, ...rest } = container;
    const resources = allocation.get(container.name);
    return { ...rest, ...(resources ? { resources } : {}) };
  };
  return {
    ...pod,
    spec: {
      ...pod.spec,
      containers: containers.map(granted),
      ...(initContainers ? { initContainers: initContainers.map(granted) } : {}),
    },
  };
}

function isGranted({ name, resources }: ContainerSpec, allocation: Allocation): boolean {
  if (!allocation.has(name)) return true;
  const granted = allocation.get(name);
  return granted === resources || (isSame(granted?.requests, resources?.requests) && isSame(granted?.limits, resources?.limits));
}

function isSame(one: Record<string, string | number> = {}, other: Record<string, string | number> = {}): boolean {
  const [a, b] = [amountsOf(one), amountsOf(other)];
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every(resource => a[resource] === b[resource]);
}

/** Whether the node grants what the pod's spec asks for now, in the kubelet's words. Pure. */
export function planGrant({ pod, others, allocatable }: AdmissionPicture): PendingResize | undefined {
  const [requested, capacity] = [podRequests(pod.spec), amountsOf(allocatable)];
  for (const resource of ['memory', 'cpu']) {
    const [wanted = 0, has = Number.POSITIVE_INFINITY] = [requested[resource], capacity[resource]];
    if (wanted <= has) continue;
    const message = `Node didn't have enough capacity: ${resource}, requested: ${wanted}, capacity: ${has}`;
    return { reason: 'Infeasible', message };
  }
  const lack = planFit({ pod, others, allocatable });
  return lack ? { reason: 'Deferred', message: lack.message } : undefined;
}

/** `Pod resize started: {"containers":…,"generation":…}`: as the kubelet's events have it. Pure. */
export function resizeMessage(what: string, { spec, metadata }: Pod, error?: string): string {
  const named = (containers: readonly ContainerSpec[]) => containers.map(({ name, resources = {} }) => ({ name, resources }));
  const summary = {
    ...(spec.initContainers?.length ? { initContainers: named(spec.initContainers) } : {}),
    containers: named(spec.containers),
    generation: metadata.generation,
    ...(error === undefined ? {} : { error }),
  };
  return `Pod resize ${what}: ${JSON.stringify(summary)}`;
}
