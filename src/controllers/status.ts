import { toTime } from '#base/index.ts';

/** What all kinds' conditions share. */
export interface Condition {
  type: string;
  status: string;
  reason?: string | undefined;
  message?: string | undefined;
  lastTransitionTime?: string | undefined;
  lastUpdateTime?: string | undefined;
}

/**
 * The conditions with `wanted` in its place: its transition time moves only when its status does. Without a status the condition is
 * taken away.
 */
export function setCondition<C extends Condition>(
  conditions: readonly C[] | undefined,
  wanted: Omit<Condition, 'status'> & { status: string | undefined },
  nowMs: number,
): C[] {
  const all = conditions ?? [];
  const { status } = wanted;
  if (status === undefined) return all.filter(({ type }) => type !== wanted.type);
  const present = all.find(({ type }) => type === wanted.type);
  const lastTransitionTime = present?.status === status ? present.lastTransitionTime : toTime(nowMs);
  const next = { ...present, ...wanted, status, lastTransitionTime } as C;
  return present ? all.map(condition => (condition === present ? next : condition)) : [...all, next];
}

/** True when writing `next` would change nothing: absent, zero and empty mean the same. */
export function isSameStatus(present: object | undefined, next: object): boolean {
  return canonical(present ?? {}) === canonical(next);
}

function canonical(value: object): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (part === 0 || part === null || (Array.isArray(part) && part.length === 0)) return undefined;
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
