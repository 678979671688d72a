import type { FieldCause } from '#base/errors.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { invalid, validateNonNegative } from './validation.ts';

/** Who holds something, and until when unless renewed: heartbeats and leadership. */
export const Lease: Kind<types.Lease> = defineKind<types.Lease>('coordination.k8s.io/v1/Lease', {
  validate({ spec }) {
    const causes: FieldCause[] = validateNonNegative(spec, ['leaseTransitions'], 'spec');
    const { leaseDurationSeconds, holderIdentity } = spec;
    if (leaseDurationSeconds !== undefined && leaseDurationSeconds <= 0)
      causes.push(invalid('spec.leaseDurationSeconds', leaseDurationSeconds, 'must be greater than 0'));
    if (holderIdentity === '') causes.push(invalid('spec.holderIdentity', holderIdentity, 'must not be empty'));
    return causes;
  },
  cells: { Holder: ({ spec }) => spec.holderIdentity ?? '' },
});
export type Lease = types.Lease;
