import { parseQuantity } from '#base/quantity.ts';
import { validateTolerations } from './affinity-validation.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { checkDnsLabel, checkQualifiedName, invalid, validateImmutable, validateLabels, validateName } from './validation.ts';

/** Which runtime a pod's containers take. */
export const RuntimeClass: Kind<types.RuntimeClass> = defineKind<types.RuntimeClass>('node.k8s.io/v1/RuntimeClass', {
  validate({ handler, overhead, scheduling }) {
    const causes = validateName(handler, checkDnsLabel, 'handler');
    for (const [name, amount] of Object.entries(overhead?.podFixed ?? {})) {
      const at = `overhead.podFixed[${name}]`;
      causes.push(...checkQualifiedName(name).map(why => invalid(at, name, why)));
      if (parseQuantity(amount).nano < 0n) causes.push(invalid(at, String(amount), 'must be greater than or equal to 0'));
    }
    causes.push(...validateLabels(scheduling?.nodeSelector, 'scheduling.nodeSelector'));
    causes.push(...validateTolerations(scheduling?.tolerations ?? [], 'scheduling.tolerations'));
    return causes;
  },
  validateUpdate: ({ handler }, old) => validateImmutable(handler, old.handler, 'handler'),
  cells: { Handler: ({ handler }) => handler },
});
export type RuntimeClass = types.RuntimeClass;
