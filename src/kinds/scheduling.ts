import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { forbidden, validateEnum, validateImmutable } from './validation.ts';

const HIGHEST_OF_USERS = 1_000_000_000;

/** The classes that every cluster has. */
const SYSTEM_CLASSES = new Map([
  ['system-cluster-critical', 2_000_000_000],
  ['system-node-critical', 2_000_001_000],
]);

/** How much more some pods matter than others. */
export const PriorityClass: Kind<types.PriorityClass> = defineKind<types.PriorityClass>('scheduling.k8s.io/v1/PriorityClass', {
  defaults(priorityClass) {
    priorityClass.value ??= 0;
    priorityClass.preemptionPolicy ??= 'PreemptLowerPriority';
  },
  validate({ metadata, value = 0, globalDefault = false, preemptionPolicy }) {
    const causes = validateEnum(preemptionPolicy, ['Never', 'PreemptLowerPriority'], 'preemptionPolicy', true);
    if (metadata.name?.startsWith('system-')) {
      const why = notOfSystem(metadata.name, value, globalDefault);
      const reserved = "priority class names with 'system-' prefix are reserved for system use only";
      if (why) causes.push(forbidden('metadata.name', `${reserved}. error: ${why}`));
    } else if (value > HIGHEST_OF_USERS)
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

/** Why a class is none of the system's own; undefined: it is. */
function notOfSystem(name: string, value: number, globalDefault: boolean): string | undefined {
  const wanted = SYSTEM_CLASSES.get(name);
  if (wanted === undefined) return `${name} is not a known system priority class`;
  if (value !== wanted) return `value of ${name} PriorityClass must be ${wanted}`;
  return globalDefault ? `globalDefault of ${name} PriorityClass must be false` : undefined;
}
