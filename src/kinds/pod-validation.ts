import type { FieldCause } from '#base/errors.ts';
import type { PodTemplateSpec } from './types.gen.ts';
/** stub */
export function validatePodTemplate(_template: PodTemplateSpec, _path: string): FieldCause[] {
  return [];
}
