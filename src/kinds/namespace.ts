import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { checkDnsLabel, checkQualifiedName, invalid } from './validation.ts';

/** A room for names. It goes when its finalizers are gone, after all that is in it. */
export const Namespace: Kind<types.Namespace> = defineKind<types.Namespace>('v1/Namespace', {
  checkName: checkDnsLabel,
  defaults({ metadata }) {
    if (!metadata.name) return;
    metadata.labels ??= {};
    metadata.labels['kubernetes.io/metadata.name'] = metadata.name;
  },
  prepareForCreate(namespace) {
    namespace.status = { phase: 'Active' };
    const finalizers = namespace.spec?.finalizers ?? [];
    namespace.spec = { finalizers: finalizers.includes('kubernetes') ? finalizers : [...finalizers, 'kubernetes'] };
  },
  prepareForUpdate(namespace, old) {
    namespace.spec = old.spec;
    if (old.status) namespace.status = old.status;
  },
  validate: ({ spec }) =>
    (spec?.finalizers ?? []).flatMap((finalizer, i) =>
      checkQualifiedName(finalizer).map(why => invalid(`spec.finalizers[${i}]`, finalizer, why)),
    ),
  cells: { Status: ({ status }) => status?.phase ?? '' },
  selectableFields: { 'status.phase': ({ status }) => status?.phase ?? '', name: ({ metadata }) => metadata.name },
});
export type Namespace = types.Namespace;
