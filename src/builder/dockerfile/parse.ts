import { UmiakError } from '#base/errors.ts';
import { dockerfileError } from './dockerfile-error.ts';
import { type Instruction, parseInstruction } from './instructions.ts';
import { type Line, readLines, toLine } from './lines.ts';

/** An instruction with where it stands. */
export interface Placed {
  instruction: Instruction;
  line: Line;
}

export interface Stage {
  index: number;
  from: Extract<Instruction, { keyword: 'FROM' }>;
  line: Line;
  instructions: Placed[];
}

/** A Dockerfile in its parts; nothing is looked up and no variable replaced yet. */
export interface Dockerfile {
  escapeChar: string;
  /** `ARG`s before the first FROM. */
  globalArgs: Placed[];
  stages: Stage[];
}

const MAX_STAGES = 1000;

/** Reads a Dockerfile. @throws Invalid in docker's words with the line */
export function parseDockerfile(text: string): Dockerfile {
  const { escapeChar, lines } = readLines(text);
  if (lines.length === 0) throw new UmiakError('Invalid', 'dockerfile parse error: file with no instructions');
  const globalArgs: Placed[] = [];
  const stages: Stage[] = [];
  for (const line of lines) {
    const instruction = parseInstruction(line, escapeChar);
    const stage = stages.at(-1);
    if (instruction.keyword === 'FROM') {
      if (stages.length === MAX_STAGES) throw dockerfileError(line.line, `there are more than ${MAX_STAGES} stages`);
      if (instruction.name !== undefined && stages.some(({ from }) => from.name === instruction.name))
        throw dockerfileError(line.line, `duplicate name for build stage: "${instruction.name}"`);
      stages.push({ index: stages.length, from: instruction, line, instructions: [] });
    } else if (stage) stage.instructions.push({ instruction, line });
    else if (instruction.keyword === 'ARG') globalArgs.push({ instruction, line });
    else throw dockerfileError(line.line, 'no build stage in current context');
  }
  if (stages.length === 0) throw dockerfileError(lines.at(-1)!.line, 'no build stage in current context');
  return { escapeChar, globalArgs, stages };
}

/** The triggers that an image has for those who build on it, as instructions at the place of the FROM. @throws Invalid */
export function parseTriggers(triggers: readonly string[], at: Line): Placed[] {
  return triggers.map(trigger => {
    const line = toLine(trigger, at.line, '\\');
    const instruction = parseInstruction(line, '\\');
    if (instruction.keyword === 'FROM' || instruction.keyword === 'ONBUILD' || instruction.keyword === 'MAINTAINER')
      throw dockerfileError(at.line, `${instruction.keyword} isn't allowed as an ONBUILD trigger`);
    return { instruction, line };
  });
}

/** The stage that a target or `--from` names: by name or number. */
export function findStage(stages: readonly Stage[], name: string): Stage | undefined {
  const lower = name.toLowerCase();
  return stages.find(({ from }) => from.name === lower) ?? (/^\d{1,4}$/.test(name) ? stages[Number(name)] : undefined);
}
