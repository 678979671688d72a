import type { Taint, Toleration } from './types.gen.ts';

/** True when the toleration covers the taint. An empty key with `Exists` covers all; an empty effect covers every effect. */
export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  const value = toleration.value ?? '';
  switch (toleration.operator || 'Equal') {
    case 'Exists':
      return true;
    case 'Equal':
      return (toleration.key ?? '') === taint.key && value === (taint.value ?? '');
    case 'Gt':
      return isInteger(value) && isInteger(taint.value) && BigInt(taint.value) > BigInt(value);
    case 'Lt':
      return isInteger(value) && isInteger(taint.value) && BigInt(taint.value) < BigInt(value);
    default:
      return false;
  }
}

/** The first taint with one of the effects that nothing tolerates. */
export function findUntolerated(
  taints: readonly Taint[] | undefined,
  tolerations: readonly Toleration[] | undefined,
  effects: readonly string[] = ['NoSchedule', 'NoExecute'],
): Taint | undefined {
  return taints?.find(taint => effects.includes(taint.effect) && !tolerations?.some(toleration => tolerates(toleration, taint)));
}

function isInteger(text: string | undefined): text is string {
  return text !== undefined && /^-?\d{1,19}$/.test(text);
}
