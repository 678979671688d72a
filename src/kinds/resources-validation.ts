import type { FieldCause } from '#base/errors.ts';
import { compareQuantities, parseQuantity } from '#base/quantity.ts';
import type { Quantity, ResourceRequirements } from './types.gen.ts';
import { checkQualifiedName, duplicate, forbidden, invalid, notFound, required } from './validation.ts';

/** What may be promised to more than one. */
const OVERCOMMITTED = ['cpu', 'memory', 'ephemeral-storage'];
/** Standard elsewhere: in quotas and on nodes. */
const STANDARD_ELSEWHERE = ['storage', 'requests.storage', 'limits.cpu', 'limits.memory', 'pods', 'services', 'secrets', 'configmaps'];
const HUGE_PAGES = 'hugepages-';
const WHOLE = 1_000_000_000n;

/** What a container asks for and may take; `claims` are the names it may refer to. */
export function validateResources(
  { requests = {}, limits = {}, claims = [] }: ResourceRequirements = {},
  path: string,
  known: ReadonlySet<string> = new Set(),
): FieldCause[] {
  const causes = [
    ...Object.entries(limits).flatMap(([resource, quantity]) => validateAmount(resource, quantity, `${path}.limits[${resource}]`)),
    ...Object.entries(requests).flatMap(([resource, quantity]) => validateAmount(resource, quantity, `${path}.requests[${resource}]`)),
  ];
  for (const [resource, request] of Object.entries(requests)) {
    const limit = Object.hasOwn(limits, resource) ? limits[resource] : undefined;
    const overcommits = OVERCOMMITTED.includes(resource);
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
  claims.forEach(({ name }, i) => {
    if (!name) causes.push(required(`${path}.claims[${i}]`));
    else if (seen.has(name)) causes.push(duplicate(`${path}.claims[${i}]`, name));
    else if (!known.has(name)) causes.push(notFound(`${path}.claims[${i}]`, name));
    seen.add(name);
  });
  return causes;
}

function validateAmount(resource: string, quantity: Quantity, field: string): FieldCause[] {
  const causes: FieldCause[] = checkQualifiedName(resource).map(why => invalid(field, resource, why));
  const isStandard = OVERCOMMITTED.includes(resource) || resource.startsWith(HUGE_PAGES);
  if (!resource.includes('/') && !isStandard) {
    if (!STANDARD_ELSEWHERE.includes(resource))
      causes.push(invalid(field, resource, 'must be a standard resource type or fully qualified'));
    causes.push(invalid(field, resource, 'must be a standard resource for containers'));
  } else if (!isStandard && resource.startsWith('requests.'))
    causes.push(invalid(field, resource, "doesn't follow extended resource name standard"));
  const { nano } = parseQuantity(quantity);
  if (nano < 0n) causes.push(invalid(field, quantity, 'must be greater than or equal to 0'));
  else if (!isStandard && nano % WHOLE !== 0n) causes.push(invalid(field, quantity, 'must be an integer'));
  if (resource.startsWith(HUGE_PAGES) && nano > 0n) causes.push(...validateHugePages(resource, quantity, field));
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
