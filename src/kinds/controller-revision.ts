import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { invalid, required, validateImmutable } from './validation.ts';

/** A past state of a DaemonSet or StatefulSet. */
export const ControllerRevision: Kind<types.ControllerRevision> = defineKind<types.ControllerRevision>('apps/v1/ControllerRevision', {
  validate: revision => [
    ...(revision.data ? [] : [required('data', 'data is mandatory')]),
    ...(revision.revision < 0 ? [invalid('revision', revision.revision, 'must be greater than or equal to 0')] : []),
  ],
  validateUpdate: ({ data }, old) => validateImmutable(data, old.data, 'data'),
  cells: {
    Controller: ({ metadata: { ownerReferences = [] } }) => {
      const owner = ownerReferences.find(({ controller }) => controller);
      if (!owner) return '<none>';
      const group = owner.apiVersion.includes('/') ? `.${owner.apiVersion.split('/')[0]}` : '';
      return `${owner.kind.toLowerCase()}${group}/${owner.name}`;
    },
    Revision: ({ revision }) => String(revision),
  },
});
export type ControllerRevision = types.ControllerRevision;
