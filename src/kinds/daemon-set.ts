import type { FieldCause } from '#base/errors.ts';
import { containerImages, containerNames, labelsText, selectorText } from './cells.ts';
import { defineKind } from './define-kind.ts';
import { isMeaningEqual } from './json-equal.ts';
import type { Kind } from './kind.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import { validatePodTemplate } from './pod-validation.ts';
import { workloadWarnings } from './pod-warnings.ts';
import type * as types from './types.gen.ts';
import { invalid, notSupported, required, validateNonNegative } from './validation.ts';
import { isZero, validateCountOrPercent, validateEndlessPod, validateSameSelector, validateSelectorOfTemplate } from './workload.ts';

/** How often the template has changed: a word of former versions that tools still read. */
const TEMPLATE_GENERATION = 'deprecated.daemonset.template.generation';
const STATUS_COUNTS = [
  'currentNumberScheduled',
  'numberMisscheduled',
  'desiredNumberScheduled',
  'numberReady',
  'observedGeneration',
  'updatedNumberScheduled',
  'numberAvailable',
  'numberUnavailable',
  'collisionCount',
] as const;

/** One pod on every node that fits. */
export const DaemonSet: Kind<types.DaemonSet> = defineKind<types.DaemonSet>('apps/v1/DaemonSet', {
  warnings: workloadWarnings,
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
  prepareForCreate({ metadata }) {
    metadata.annotations = { ...metadata.annotations, [TEMPLATE_GENERATION]: '1' };
  },
  prepareForUpdate({ metadata, spec }, old) {
    const before = Number(old.metadata.annotations?.[TEMPLATE_GENERATION] ?? 0) || 0;
    const generation = isMeaningEqual(spec.template, old.spec.template) ? before : before + 1;
    if (generation > 0) metadata.annotations = { ...metadata.annotations, [TEMPLATE_GENERATION]: String(generation) };
  },
  validate: ({ spec }) => [
    ...validateSelectorOfTemplate(spec.selector, spec.template, 'spec', 'daemonset'),
    ...validatePodTemplate(spec.template, 'spec.template'),
    ...validateEndlessPod(spec.template.spec, 'spec.template.spec', 'DaemonSet'),
    ...validateNonNegative(spec, ['minReadySeconds', 'revisionHistoryLimit'], 'spec'),
    ...validateStrategy(spec.updateStrategy ?? {}, 'spec.updateStrategy'),
  ],
  validateUpdate: ({ spec }, old) => validateSameSelector(spec.selector, old.spec.selector),
  validateStatusUpdate: ({ status }) => (status ? validateNonNegative(status, STATUS_COUNTS, 'status') : []),
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

function validateStrategy({ type, rollingUpdate }: types.DaemonSetUpdateStrategy, path: string): FieldCause[] {
  if (type === 'OnDelete') return [];
  if (type !== 'RollingUpdate') return [notSupported(path, { type, rollingUpdate }, ['RollingUpdate', 'OnDelete'])];
  if (!rollingUpdate) return [required(`${path}.rollingUpdate`)];
  const { maxUnavailable, maxSurge } = rollingUpdate;
  const at = `${path}.rollingUpdate`;
  const causes = [
    ...validateCountOrPercent(maxUnavailable, `${at}.maxUnavailable`, 100),
    ...validateCountOrPercent(maxSurge, `${at}.maxSurge`, 100),
  ];
  if (!isZero(maxUnavailable) && !isZero(maxSurge))
    causes.push(invalid(`${at}.maxSurge`, maxSurge, 'may not be set when maxUnavailable is non-zero'));
  if (isZero(maxUnavailable) && isZero(maxSurge)) causes.push(required(`${at}.maxUnavailable`, 'cannot be 0 when maxSurge is 0'));
  return causes;
}
