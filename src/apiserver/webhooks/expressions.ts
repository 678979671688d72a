import type { FieldCause } from '#base/errors.ts';
import { invalid as invalidField } from '#kinds/field-errors.ts';
import type { KubeObject } from '#kinds/kind.ts';
import type { MatchCondition } from '#kinds/types.gen.ts';
import type { Stored } from '../resources.ts';
import { invalid } from '../status.ts';
import type { AdmissionPlugin } from '../write.ts';
import { compileCondition } from './match-conditions.ts';

type Configuration = KubeObject & { webhooks?: { matchConditions?: MatchCondition[] }[] };

/** Refuses configurations whose match conditions do not compile; what was stored before stays valid. */
export function checkedExpressions(...configurations: readonly Stored[]): AdmissionPlugin {
  return {
    name: 'WebhookMatchConditions',
    validate({ operation, served, name, object, old }) {
      if (operation === 'DELETE' || !configurations.some(({ cache }) => cache === served.cache)) return;
      const known = new Set(
        (old as Configuration | undefined)?.webhooks?.flatMap(each => each.matchConditions?.map(one => one.expression)),
      );
      const pending = ((object as Configuration).webhooks ?? []).flatMap(({ matchConditions = [] }, i) =>
        matchConditions.flatMap(({ expression }, j) =>
          known.has(expression) ? [] : causesOf(expression, `webhooks[${i}].matchConditions[${j}].expression`),
        ),
      );
      if (pending.length === 0) return;
      return Promise.all(pending).then(causes => {
        if (causes.flat().length > 0) throw invalid(served.resource, name, causes.flat());
      });
    },
  };
}

async function causesOf(expression: string, field: string): Promise<FieldCause[]> {
  const result = await compileCondition(expression);
  return result.ok ? [] : [invalidField(field, expression, `compilation failed: ${result.error}`)];
}
