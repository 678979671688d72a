import type { PodAction } from './plan-pod.ts';

/** Steps of different containers are independent of each other; those of one keep their order. Pure. */
export function groupByContainer(actions: readonly PodAction[]): PodAction[][] {
  const groups = new Map<string, PodAction[]>();
  let last = '';
  for (const action of actions) {
    if (action.do === 'start') last = action.container.name;
    const key = action.do === 'start' ? action.container.name : action.do === 'remove' ? nextStart(actions, action) : `${action.do}${last}`;
    groups.set(key, [...(groups.get(key) ?? []), action]);
  }
  return [...groups.values()];
}

/** A `remove` right before a `start` belongs to it. */
function nextStart(actions: readonly PodAction[], removal: PodAction): string {
  const next = actions[actions.indexOf(removal) + 1];
  return next?.do === 'start' ? next.container.name : 'remove';
}
