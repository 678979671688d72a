import { toTime } from '#base/clock.ts';
import {
  customResourceDefinitionCauses,
  customResourceDefinitionStatusCauses,
  customResourceDefinitionUpdateCauses,
} from './crd-validation.ts';
import { defineKind } from './define-kind.ts';
import { jsonEqual } from './json-equal.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

/** Keeps a definition until its objects are gone. */
export const CUSTOM_RESOURCE_CLEANUP = 'customresourcecleanup.apiextensions.k8s.io';

/** A kind of its own. */
export const CustomResourceDefinition: Kind<types.CustomResourceDefinition> = defineKind<types.CustomResourceDefinition>(
  'apiextensions.k8s.io/v1/CustomResourceDefinition',
  {
    defaults({ spec }) {
      spec.names.singular ||= spec.names.kind.toLowerCase();
      spec.names.listKind ||= `${spec.names.kind}List`;
      spec.conversion ??= { strategy: 'None' };
      const service = spec.conversion.webhook?.clientConfig?.service;
      if (service) service.port ??= 443;
    },
    prepareForCreate(crd) {
      crd.metadata.generation = 1;
      crd.status = { acceptedNames: { plural: '', kind: '' }, conditions: [], storedVersions: storageVersionsOf(crd) };
    },
    prepareForUpdate(crd, old) {
      const stored = old.status?.storedVersions ?? [];
      const added = storageVersionsOf(crd).filter(name => !stored.includes(name));
      if (crd.status && added.length > 0) crd.status = { ...crd.status, storedVersions: [...stored, ...added] };
      if (!jsonEqual(crd.spec, old.spec)) crd.metadata.generation = (old.metadata.generation ?? 0) + 1;
    },
    prepareForDelete(crd, nowMs) {
      const { finalizers = [] } = crd.metadata;
      if (!finalizers.includes(CUSTOM_RESOURCE_CLEANUP)) crd.metadata.finalizers = [...finalizers, CUSTOM_RESOURCE_CLEANUP];
      const conditions = (crd.status?.conditions ?? []).filter(({ type }) => type !== 'Terminating');
      const terminating = {
        type: 'Terminating',
        status: 'True',
        lastTransitionTime: toTime(nowMs),
        reason: 'InstanceDeletionPending',
        message: 'CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon',
      };
      crd.status = { ...crd.status, conditions: [...conditions, terminating] };
    },
    validate: customResourceDefinitionCauses,
    validateUpdate: customResourceDefinitionUpdateCauses,
    validateStatusUpdate: customResourceDefinitionStatusCauses,
  },
);
export type CustomResourceDefinition = types.CustomResourceDefinition;

function storageVersionsOf({ spec }: types.CustomResourceDefinition): string[] {
  return spec.versions.filter(({ storage }) => storage).map(({ name }) => name);
}
