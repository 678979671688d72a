import type { Pod, PodCondition, PodTemplateSpec } from './types.gen.ts';

/** Digits and letters that form no words. */
const SAFE = 'bcdfghjklmnpqrstvwxz2456789';

/** A short name for a pod template, the same for the same content: what `pod-template-hash` holds. */
export function templateHash(template: PodTemplateSpec, collisionCount = 0): string {
  const text = `${stableJson(template)}${collisionCount > 0 ? collisionCount : ''}`;
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return [...String(hash >>> 0)].map(char => SAFE[char.charCodeAt(0) % SAFE.length]).join('');
}

/** JSON with sorted keys and without what is absent. */
function stableJson(value: unknown): string {
  return JSON.stringify(value, (key, inner: unknown) => {
    if (inner === null || typeof inner !== 'object' || Array.isArray(inner)) return inner;
    if (key === 'metadata') return sorted({ ...inner, creationTimestamp: undefined });
    return sorted(inner);
  });
}

function sorted(object: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

/** The condition of that type. */
export function podCondition(pod: Pod, type: string): PodCondition | undefined {
  return pod.status?.conditions?.find(condition => condition.type === type);
}

/** True when its Ready condition says so. */
export function isPodReady(pod: Pod): boolean {
  return podCondition(pod, 'Ready')?.status === 'True';
}

/** True when its containers have ended for good. */
export function isPodTerminal(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/** True when it counts as a replica: not ended, not being deleted. */
export function isPodActive(pod: Pod): boolean {
  return !isPodTerminal(pod) && !pod.metadata.deletionTimestamp;
}
