import { quantityMilliValue, quantityValue } from '#base/quantity.ts';
import type { Container, PodSpec, Quantity, ResourceRequirements } from './types.gen.ts';

/** Amounts by resource: `cpu` in thousandths, everything else in whole units (bytes), rounded up. */
export type Amounts = Record<string, number>;
export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

/** An init container that goes on running beside the others. */
export function isSidecar(container: { restartPolicy?: string | undefined }): boolean {
  return container.restartPolicy === 'Always';
}

/** What a pod asks its node for: the larger of its start and its run, with sidecars, pod-level requests and overhead. */
export function podRequests(spec: PodSpec): Amounts {
  return podAmounts(spec, 'requests');
}

/** What a pod may take at most, of those resources that are limited. */
export function podLimits(spec: PodSpec): Amounts {
  return podAmounts(spec, 'limits');
}

/** One resource's amount: `cpu` in thousandths, else in units. */
function amountOf(resource: string, quantity: Quantity): number {
  return resource === 'cpu' ? quantityMilliValue(quantity) : quantityValue(quantity);
}

/** A resource list with each quantity as a number. */
export function amountsOf(list: Record<string, Quantity> | undefined): Amounts {
  const amounts: Amounts = {};
  for (const resource in list) amounts[resource] = amountOf(resource, list[resource]!);
  return amounts;
}

function podAmounts(spec: PodSpec, which: 'requests' | 'limits'): Amounts {
  const running: Amounts = {};
  for (const { resources } of spec.containers) add(running, amountsOf(resources?.[which]));
  const starting: Amounts = {};
  const sidecars: Amounts = {};
  for (const container of spec.initContainers ?? []) {
    const own = amountsOf(container.resources?.[which]);
    if (isSidecar(container)) {
      add(sidecars, own);
      raise(starting, sidecars);
    } else {
      add(own, sidecars);
      raise(starting, own);
    }
  }
  add(running, sidecars);
  raise(running, starting);
  Object.assign(running, amountsOf(spec.resources?.[which]));
  if (which === 'requests' || spec.overhead === undefined) add(running, amountsOf(spec.overhead));
  else for (const [resource, amount] of Object.entries(amountsOf(spec.overhead))) if (resource in running) running[resource]! += amount;
  return running;
}

function add(sum: Amounts, more: Amounts): void {
  for (const resource in more) sum[resource] = (sum[resource] ?? 0) + more[resource]!;
}

function raise(most: Amounts, other: Amounts): void {
  for (const resource in other) most[resource] = Math.max(most[resource] ?? 0, other[resource]!);
}

/** Who goes first when memory runs out. */
export function qosClassOf(spec: PodSpec): QosClass {
  const parts: { resources?: ResourceRequirements | undefined }[] = spec.resources
    ? [{ resources: spec.resources }]
    : [...spec.containers, ...(spec.initContainers ?? [])];
  let asksAny = false;
  let allEqual = true;
  for (const { resources } of parts) {
    for (const resource of ['cpu', 'memory']) {
      const request = positive(resource, resources?.requests);
      const limit = positive(resource, resources?.limits);
      if (request || limit) asksAny = true;
      if (!limit || (request || limit) !== limit) allEqual = false;
    }
  }
  if (!asksAny) return 'BestEffort';
  return allEqual ? 'Guaranteed' : 'Burstable';
}

function positive(resource: string, list: Record<string, Quantity> | undefined): number {
  const quantity = list?.[resource];
  return quantity === undefined ? 0 : amountOf(resource, quantity);
}

/** The host ports that a pod takes on its node. */
export function hostPortsOf(spec: PodSpec): { protocol: string; hostIP: string; hostPort: number }[] {
  const containers: Pick<Container, 'ports'>[] = [...spec.containers, ...(spec.initContainers ?? []).filter(isSidecar)];
  return containers.flatMap(({ ports = [] }) =>
    ports.flatMap(({ hostPort, hostIP, protocol }) =>
      hostPort ? [{ protocol: protocol ?? 'TCP', hostIP: hostIP || '0.0.0.0', hostPort }] : [],
    ),
  );
}
