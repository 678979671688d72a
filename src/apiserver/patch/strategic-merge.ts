import { applyMergePatch } from './merge-patch.ts';

/** For now the merge of RFC 7386. */
export function applyStrategicMergePatch(_type: string, current: unknown, patch: unknown): unknown {
  return applyMergePatch(current, patch);
}
