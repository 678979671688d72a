import { UmiakError } from '#base/errors.ts';
import { ConfigDraft, PlanBudget } from '#builder/dockerfile/config-draft.ts';
import { parseInstruction } from '#builder/dockerfile/instructions.ts';
import { toLine } from '#builder/dockerfile/lines.ts';
import { applyConfig, type ConfigInstruction } from '#builder/dockerfile/plan-config.ts';
import { BuildArgs, lookupOf } from '#builder/dockerfile/substitution.ts';
import { expandWord } from '#builder/dockerfile/words.ts';
import type { ContainerConfig } from '#images/index.ts';

/** As docker allows with `--change`. */
const ALLOWED = new Set([
  'CMD',
  'ENTRYPOINT',
  'ENV',
  'EXPOSE',
  'HEALTHCHECK',
  'LABEL',
  'ONBUILD',
  'STOPSIGNAL',
  'USER',
  'VOLUME',
  'WORKDIR',
]);
const MOST_CHANGES = 1000;
const ESCAPE = '\\';

/** The configuration after the Dockerfile instructions of `--change`. @throws BadRequest in docker's words. Pure. */
export function applyInstructions(config: ContainerConfig, changes: readonly string[]): ContainerConfig {
  if (changes.length > MOST_CHANGES) throw new UmiakError('BadRequest', `there are more than ${MOST_CHANGES} changes`);
  if (changes.length === 0) return config;
  const draft = new ConfigDraft(config);
  const budget = new PlanBudget();
  const lookup = lookupOf(draft.env, new BuildArgs(new Map(), new Map(), new Set()));
  const expand = (text: string) => expandWord(text, lookup, ESCAPE);
  for (const change of changes) {
    const line = toLine(change, 1, ESCAPE);
    if (line.keyword === '') continue;
    if (!ALLOWED.has(line.keyword))
      throw new UmiakError('BadRequest', `${line.keyword.toLowerCase().slice(0, 100)} is not a valid change command`);
    applyConfig(draft, parseInstruction(line, ESCAPE) as ConfigInstruction, { lookup, expand, escapeChar: ESCAPE, budget });
  }
  return draft.toConfig();
}
