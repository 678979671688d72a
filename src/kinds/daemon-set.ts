import { containerImages, containerNames, labelsText, selectorText } from './cells.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import { validatePodTemplate } from './pod-validation.ts';
import type * as types from './types.gen.ts';
import { validateEnum, validateImmutable, validateNonNegative } from './validation.ts';
import { validateSelectorOfTemplate } from './workload.ts';

/** One pod on every node that fits. */
export const DaemonSet: Kind<types.DaemonSet> = defineKind<types.DaemonSet>('apps/v1/DaemonSet', {
  defaults({ spec }) {
    spec.revisionHistoryLimit ??= 10;
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ||= 'RollingUpdate';
    if (spec.updateStrategy.type === 'RollingUpdate') {
      spec.updateStrategy.rollingUpdate ??= {};
      spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
      spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
    }
    defaultPodSpec(spec.template.spec);
  },
  validate: ({ spec }) => [
    ...validateSelectorOfTemplate(spec.selector, spec.template),
    ...validatePodTemplate(spec.template, 'spec.template'),
    ...validateEnum(spec.template.spec.restartPolicy, ['Always'], 'spec.template.spec.restartPolicy'),
    ...validateNonNegative(spec, ['minReadySeconds', 'revisionHistoryLimit'], 'spec'),
    ...validateEnum(spec.updateStrategy?.type, ['OnDelete', 'RollingUpdate'], 'spec.updateStrategy.type'),
  ],
  validateUpdate: ({ spec }, old) => validateImmutable(spec.selector, old.spec.selector, 'spec.selector'),
  cells: {
    Desired: ({ status }) => status?.desiredNumberScheduled ?? 0,
    Current: ({ status }) => status?.currentNumberScheduled ?? 0,
    Ready: ({ status }) => status?.numberReady ?? 0,
    'Up-to-date': ({ status }) => status?.updatedNumberScheduled ?? 0,
    Available: ({ status }) => status?.numberAvailable ?? 0,
    'Node Selector': ({ spec }) => labelsText(spec.template.spec.nodeSelector),
    Containers: ({ spec }) => containerNames(spec.template),
    Images: ({ spec }) => containerImages(spec.template),
    Selector: ({ spec }) => selectorText(spec.selector),
  },
});
export type DaemonSet = types.DaemonSet;
