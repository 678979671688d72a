import type { FieldCause } from '#base/errors.ts';
import { compareQuantities, parseQuantity } from '#base/quantity.ts';
import type { Quantity, ResourceRequirements } from './types.gen.ts';
import { checkDnsLabel, checkQualifiedName, duplicate, forbidden, invalid, notFound, notSupported, required } from './validation.ts';

/** What may be promised to more than one. */
const OVERCOMMITTED = ['cpu', 'memory', 'ephemeral-storage'];
/** What is counted without `count/`. */
export const COUNTED = [
  'pods',
  'services',
  'services.nodeports',
  'services.loadbalancers',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
];
/** Standard elsewhere: in quotas and on nodes. */
const STANDARD_ELSEWHERE = [
  ...OVERCOMMITTED.flatMap(name => [`requests.${name}`, `limits.${name}`]),
  ...COUNTED,
  'storage',
  'requests.storage',
];
const HUGE_PAGES = 'hugepages-';
const WHOLE = 1_000_000_000n;

/** What a container asks for and may take; `known` are the names of the pod's claims, which it may refer to. */
export function validateResources(
  resources: ResourceRequirements | undefined,
  path: string,
  known: ReadonlySet<string> = new Set(),
): FieldCause[] {
  return resources ? validateRequirements(resources, path, known, validateContainerName) : [];
}

/** The same for a pod as a whole. */
export function validatePodLevelRequirements(resources: ResourceRequirements, path: string, known: ReadonlySet<string>): FieldCause[] {
  return validateRequirements(resources, path, known, validatePodName);
}

function validateRequirements(
  { requests = {}, limits = {}, claims = [] }: ResourceRequirements,
  path: string,
  known: ReadonlySet<string>,
  checkName: (resource: string, field: string) => FieldCause[],
): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const [list, amounts] of Object.entries({ limits, requests }))
    for (const resource in amounts) {
      const field = `${path}.${list}[${resource}]`;
      causes.push(...checkName(resource, field), ...validateAmount(resource, amounts[resource]!, field));
    }
  for (const [resource, request] of Object.entries(requests)) {
    const limit = Object.hasOwn(limits, resource) ? limits[resource] : undefined;
    const overcommits = isOvercommitted(resource);
    if (limit === undefined) {
      if (!overcommits) causes.push(required(`${path}.limits`, 'Limit must be set for non overcommitable resources'));
      continue;
    }
    const order = compareQuantities(request, limit);
    if (!overcommits && order !== 0) causes.push(invalid(`${path}.requests`, request, `must be equal to ${resource} limit of ${limit}`));
    else if (order > 0) causes.push(invalid(`${path}.requests`, request, `must be less than or equal to ${resource} limit of ${limit}`));
  }
  const all = [...Object.keys(requests), ...Object.keys(limits)];
  if (all.some(one => one.startsWith(HUGE_PAGES)) && !all.some(one => one === 'cpu' || one === 'memory'))
    causes.push(forbidden(path, 'HugePages require cpu or memory'));
  const seen = new Set<string>();
  claims.forEach(({ name, request }, i) => {
    if (!name) causes.push(required(`${path}.claims[${i}]`));
    else if (seen.has(request ? `${name}/${request}` : name)) causes.push(duplicate(`${path}.claims[${i}]`, name));
    if (name && !known.has(name)) causes.push(claimNotFound(`${path}.claims[${i}]`, name, known));
    if (request) causes.push(...checkDnsLabel(request).map(why => invalid(`${path}.claims[${i}].request`, request, why)));
    seen.add(request ? `${name}/${request}` : name);
  });
  return causes;
}

/** Kubernetes' own resources may be promised to more than one, but for huge pages. */
export function isOvercommitted(resource: string): boolean {
  return (!resource.includes('/') || resource.includes('kubernetes.io/')) && !resource.startsWith(HUGE_PAGES);
}

function claimNotFound(field: string, name: string, known: ReadonlySet<string>): FieldCause {
  const { message, ...cause } = notFound(field, name);
  const names = known.size === 0 ? ' which is empty' : `: ${[...known].sort().join(', ')}`;
  return { ...cause, message: `${message}: must be one of the names in pod.spec.resourceClaims${names}` };
}

/** A resource's name by itself. */
export function validateResourceName(resource: string, field: string): FieldCause[] {
  const causes: FieldCause[] = checkQualifiedName(resource).map(why => invalid(field, resource, why));
  const isStandard = isOfContainers(resource) || resource.startsWith(`requests.${HUGE_PAGES}`) || STANDARD_ELSEWHERE.includes(resource);
  if (causes.length > 0 || resource.includes('/') || isStandard) return causes;
  return [invalid(field, resource, 'must be a standard resource type or fully qualified')];
}

/** Standard resources that containers have, and extended ones. */
export function validateContainerName(resource: string, field: string): FieldCause[] {
  const causes = validateResourceName(resource, field);
  if (!resource.includes('/')) {
    if (!isOfContainers(resource)) causes.push(invalid(field, resource, 'must be a standard resource for containers'));
  } else if (!resource.includes('kubernetes.io/') && !isExtended(resource))
    causes.push(invalid(field, resource, "doesn't follow extended resource name standard"));
  return causes;
}

function validatePodName(resource: string, field: string): FieldCause[] {
  const causes = validateResourceName(resource, field);
  if (causes.length > 0 || resource === 'cpu' || resource === 'memory' || resource.startsWith(HUGE_PAGES)) return causes;
  return [notSupported(field, resource, ['cpu', HUGE_PAGES, 'memory'])];
}

function isOfContainers(resource: string): boolean {
  return OVERCOMMITTED.includes(resource) || resource.startsWith(HUGE_PAGES);
}

/** Nobody's but somebody's own: only whole ones of it are given out. */
export function isExtended(resource: string): boolean {
  const isNative = !resource.includes('/') || resource.includes('kubernetes.io/');
  return !isNative && !resource.startsWith('requests.') && checkQualifiedName(`requests.${resource}`).length === 0;
}

/** An amount that a list may hold: not negative, and whole where parts make no sense. */
export function validateQuantity(resource: string, quantity: Quantity, field: string): FieldCause[] {
  const { nano } = parseQuantity(quantity);
  const causes = nano < 0n ? [invalid(field, String(quantity), 'must be greater than or equal to 0')] : [];
  if (nano % WHOLE !== 0n && (COUNTED.includes(resource) || isExtended(resource)))
    causes.push(invalid(field, String(quantity), 'must be an integer'));
  return causes;
}

function validateAmount(resource: string, quantity: Quantity, field: string): FieldCause[] {
  const causes = validateQuantity(resource, quantity, field);
  if (resource.startsWith(HUGE_PAGES) && parseQuantity(quantity).nano > 0n) causes.push(...validateHugePages(resource, quantity, field));
  return causes;
}

/** An amount of huge pages is a number of whole pages. */
function validateHugePages(resource: string, quantity: Quantity, field: string): FieldCause[] {
  const size = /^\d+[KMGTPE]i$/.exec(resource.slice(HUGE_PAGES.length))?.[0];
  if (!size) return [invalid(field, quantity, `invalid page size: ${JSON.stringify(resource.slice(HUGE_PAGES.length))}`)];
  const page = parseQuantity(size).nano;
  if (page === 0n || parseQuantity(quantity).nano % page === 0n) return [];
  return [invalid(field, quantity, `${quantity} is not positive integer multiple of ${size}`)];
}
