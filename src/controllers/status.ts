import { isObject, toTime } from '#base/index.ts';

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
  return isSame(present ?? {}, next);
}

function isSame(a: unknown, b: unknown): boolean {
  if (isNothing(a) || isNothing(b)) return isNothing(a) && isNothing(b);
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => isSame(item, b[i]));
  if (!isObject(a) || !isObject(b)) return a === b;
  for (const key in a) if (!isSame(a[key], b[key])) return false;
  for (const key in b) if (!(key in a) && !isNothing(b[key])) return false;
  return true;
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === null || value === 0 || (Array.isArray(value) && value.length === 0);
}
