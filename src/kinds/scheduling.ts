import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { forbidden, validateEnum, validateImmutable } from './validation.ts';

const HIGHEST_OF_USERS = 1_000_000_000;

/** How much more some pods matter than others. */
export const PriorityClass: Kind<types.PriorityClass> = defineKind<types.PriorityClass>('scheduling.k8s.io/v1/PriorityClass', {
  defaults(priorityClass) {
    priorityClass.value ??= 0;
    priorityClass.preemptionPolicy ??= 'PreemptLowerPriority';
  },
  validate({ metadata, value = 0, preemptionPolicy }) {
    const causes = validateEnum(preemptionPolicy, ['Never', 'PreemptLowerPriority'], 'preemptionPolicy', true);
    if (value > HIGHEST_OF_USERS && !metadata.name.startsWith('system-'))
      causes.push(forbidden('value', `maximum allowed value of a user defined priority is ${HIGHEST_OF_USERS}`));
    return causes;
  },
  validateUpdate(priorityClass, old) {
    const causes = priorityClass.value === old.value ? [] : [forbidden('value', 'may not be changed in an update.')];
    return [...causes, ...validateImmutable(priorityClass.preemptionPolicy, old.preemptionPolicy, 'preemptionPolicy')];
  },
  cells: {
    Value: ({ value }) => value ?? 0,
    'Global-Default': ({ globalDefault }) => globalDefault ?? false,
    PreemptionPolicy: ({ preemptionPolicy }) => preemptionPolicy ?? '',
  },
});
export type PriorityClass = types.PriorityClass;
