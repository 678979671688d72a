import type { FieldCause } from '#base/errors.ts';
import { addQuantities, compareQuantities, formatQuantity, parseQuantity } from '#base/quantity.ts';
import { isSidecar } from './pod-resources.ts';
import { validatePodLevelRequirements } from './resources-validation.ts';
import type { Container, PodSpec, Quantity } from './types.gen.ts';
import { forbidden, invalid } from './validation.ts';

type Quantities = Record<string, Quantity>;

const isHugePages = (resource: string) => resource.startsWith('hugepages-');
const isPodLevel = (resource: string) => resource === 'cpu' || resource === 'memory' || isHugePages(resource);

/** What all containers ask for together, as the scheduler counts it, without what the pod as a whole says. */
export function sumOfContainers({ containers, initContainers = [] }: PodSpec, which: 'requests' | 'limits'): Quantities {
  const listOf = (container: Container): Quantities => container.resources?.[which] ?? {};
  const sum = none();
  for (const container of containers) add(sum, listOf(container));
  const sidecars = none();
  const starting = none();
  for (const container of initContainers) {
    if (isSidecar(container)) {
      add(sum, listOf(container));
      add(sidecars, listOf(container));
      raise(starting, sidecars);
    } else raise(starting, add(add(none(), sidecars), listOf(container)));
  }
  raise(sum, starting);
  return sum;
}

/** What a pod's own resources leave out: limits of huge pages and requests follow the containers', then requests the limits. */
export function defaultPodLevelResources(spec: PodSpec): void {
  const { resources } = spec;
  if (!resources) return;
  const { limits = {}, requests = {} } = resources;
  if (Object.keys(limits).length === 0 && Object.keys(requests).length === 0) return;
  for (const [resource, amount] of Object.entries(sumOfContainers(spec, 'limits')))
    if (isHugePages(resource) && requests[resource] === undefined) limits[resource] ??= amount;
  if (Object.keys(limits).length > 0) resources.limits = limits;
  else return;
  for (const [resource, amount] of Object.entries(sumOfContainers(spec, 'requests')))
    if (resource === 'cpu' || resource === 'memory') requests[resource] ??= amount;
  for (const [resource, amount] of Object.entries(limits)) if (isPodLevel(resource)) requests[resource] ??= amount;
  if (Object.keys(requests).length > 0) resources.requests = requests;
}

/** A pod's own resources: of few names, not less than its containers ask for, and no container may take more than the pod. */
export function validatePodLevelResources(spec: PodSpec, claims: ReadonlySet<string>, path: string): FieldCause[] {
  const { resources, os } = spec;
  if (!resources) return [];
  const at = `${path}.resources`;
  if (os?.name === 'windows') return [forbidden(at, 'may not be set for a windows pod')];
  const causes = resources.claims ? [forbidden(`${at}.claims`, 'claims may not be set for Resources at pod-level')] : [];
  causes.push(...validatePodLevelRequirements(resources, at, claims));
  const { limits = {}, requests = {} } = resources;
  for (const [resource, sum] of Object.entries(sumOfContainers(spec, 'requests'))) {
    const own = ownOf(requests, resource);
    if (own !== undefined && compareQuantities(sum, own) > 0)
      causes.push(invalid(`${at}.requests[${resource}]`, own, `must be greater than or equal to aggregate container requests of ${sum}`));
  }
  for (const [resource, sum] of Object.entries(sumOfContainers(spec, 'limits'))) {
    const own = ownOf(limits, resource);
    if (isHugePages(resource) && own !== undefined && compareQuantities(sum, own) > 0)
      causes.push(invalid(`${at}.limits[${resource}]`, own, `must be greater than or equal to aggregate container limits of ${sum}`));
  }
  spec.containers.forEach((container, i) => {
    for (const [resource, limit] of Object.entries(container.resources?.limits ?? {})) {
      const own = ownOf(limits, resource);
      if (own !== undefined && compareQuantities(limit, own) > 0)
        causes.push(invalid(`${at}.containers[${i}][${resource}].limits`, limit, `must be less than or equal to pod limits of ${own}`));
    }
  });
  return causes;
}

/** Without names of its own: resources may bear any. */
function none(): Quantities {
  return Object.create(null);
}

function ownOf(amounts: Quantities, resource: string): Quantity | undefined {
  return Object.hasOwn(amounts, resource) ? amounts[resource] : undefined;
}

function add(sum: Quantities, more: Quantities): Quantities {
  for (const [resource, amount] of Object.entries(more)) {
    const before = sum[resource];
    sum[resource] = before === undefined ? amount : formatQuantity(addQuantities(parseQuantity(before), parseQuantity(amount)));
  }
  return sum;
}

function raise(most: Quantities, other: Quantities): void {
  for (const [resource, amount] of Object.entries(other)) {
    const before = most[resource];
    if (before === undefined || compareQuantities(amount, before) > 0) most[resource] = amount;
  }
}
