import type { Pod } from '#kinds/types.gen.ts';

/** What the containers of a pod request of a resource, as they wrote it: `500m + 2`. */
export function podRequests({ spec }: Pod, resource: string): string {
  const amounts = [...(spec.initContainers ?? []), ...spec.containers].flatMap(({ resources }) => {
    const amount = resources?.requests?.[resource];
    return amount === undefined ? [] : [String(amount)];
  });
  return amounts.join(' + ');
}
