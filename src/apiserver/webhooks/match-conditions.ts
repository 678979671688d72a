import type { CelType, Program } from '#cel/index.ts';
import type { MatchCondition } from '#kinds/types.gen.ts';

/** The expression language, loaded when the first condition needs it. */
let language: Promise<typeof import('#cel/index.ts')> | undefined;
let variables: Record<string, CelType> | undefined;

/** Whether a webhook is to be asked, or why that can't be found out. */
export type ConditionResult = { matches: boolean } | { error: string };

/** What conditions may read. */
export interface ConditionVariables {
  request: object;
  object: object | null;
  oldObject: object | null;
}

/** A webhook's conditions, ready to be evaluated. */
export interface ConditionMatcher {
  evaluate(given: ConditionVariables): ConditionResult;
}

/** What is wrong with an expression, or its program. */
export async function compileCondition(expression: string): Promise<{ ok: true; program: Program } | { ok: false; error: string }> {
  language ??= import('#cel/index.ts');
  const { compile, BOOL, DYN } = await language;
  variables ??= { object: DYN, oldObject: DYN, request: DYN };
  return compile(expression, { variables, results: [BOOL] });
}

/** Compiles all conditions of a webhook. One that is false decides; otherwise one that fails does. */
export async function compileConditions(conditions: readonly MatchCondition[]): Promise<ConditionMatcher> {
  language ??= import('#cel/index.ts');
  const { Budget } = await language;
  const compiled = await Promise.all(conditions.map(async ({ name, expression }) => ({ name, ...(await compileCondition(expression)) })));
  return {
    evaluate(given) {
      const budget = new Budget({ total: 2_500_000 });
      const errors: string[] = [];
      for (const condition of compiled) {
        if (!condition.ok) {
          errors.push(`expression of condition "${condition.name}" resulted in error: ${condition.error}`);
          continue;
        }
        const result = condition.program.evaluate({ ...given }, budget);
        if (result.error !== undefined) errors.push(`expression '${condition.program.expression}' resulted in error: ${result.error}`);
        else if (result.value !== true) return { matches: false };
      }
      return errors.length > 0 ? { error: errors.join(', ') } : { matches: true };
    },
  };
}
