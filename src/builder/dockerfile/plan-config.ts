import { posix } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { parseSignal } from '#linux/process.ts';
import type { ConfigDraft, PlanBudget } from './config-draft.ts';
import type { Command, Instruction } from './instructions.ts';
import { expandWords, type Lookup } from './words.ts';

/** Instructions that change an image's configuration. */
export type ConfigInstruction = Exclude<Instruction, { keyword: 'FROM' | 'ARG' | 'RUN' | 'COPY' | 'ADD' | 'MAINTAINER' }>;

export interface ConfigChange {
  /** As history has it. */
  comment: string;
  /** A directory that must be there. */
  workingDir?: string;
}

/** What shell-form commands are run by. */
export function shellOf({ rest: { Shell } }: ConfigDraft): string[] {
  return Shell && Shell.length > 0 ? Shell : ['/bin/sh', '-c'];
}

/** Go's `%q` of a list of strings. */
export function quoteWords(words: readonly string[]): string {
  return `[${words.map(word => JSON.stringify(word)).join(' ')}]`;
}

/** Does to a configuration what an instruction says. @throws Invalid in docker's words */
export function applyConfig(
  draft: ConfigDraft,
  instruction: ConfigInstruction,
  { lookup, expand, escapeChar, budget }: { lookup: Lookup; expand: (text: string) => string; escapeChar: string; budget: PlanBudget },
): ConfigChange {
  const { rest } = draft;
  switch (instruction.keyword) {
    case 'ENV': {
      const pairs = instruction.pairs.map(({ key, value }) => ({ key: expand(key), value: expand(value) }));
      for (const { key, value } of pairs) draft.setEnv(key, value);
      return { comment: ` ENV ${pairs.map(({ key, value }) => `${key}=${value}`).join(' ')}` };
    }
    case 'LABEL': {
      const pairs = instruction.pairs.map(({ key, value }) => [expand(key), expand(value)] as const);
      for (const [key, value] of pairs) draft.labels.set(key, value);
      return { comment: ` LABEL ${pairs.map(([key, value]) => `${key}=${value}`).join(' ')}` };
    }
    case 'CMD':
    case 'ENTRYPOINT': {
      const words = commandWords(draft, instruction.command);
      draft.rest = { ...rest, [instruction.keyword === 'CMD' ? 'Cmd' : 'Entrypoint']: words };
      return { comment: ` ${instruction.keyword} ${quoteWords(words)}` };
    }
    case 'SHELL':
      draft.rest = { ...rest, Shell: instruction.words };
      return { comment: ` SHELL [${instruction.words.join(' ')}]` };
    case 'WORKDIR': {
      const asked = expand(instruction.value);
      if (asked === '') throw invalid('WORKDIR requires exactly one argument');
      const path = posix.normalize(posix.isAbsolute(asked) ? asked : posix.join('/', rest.WorkingDir ?? '/', asked));
      const workingDir = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
      draft.rest = { ...rest, WorkingDir: workingDir };
      return { comment: ` WORKDIR ${workingDir}`, workingDir };
    }
    case 'USER': {
      const user = expand(instruction.value);
      draft.rest = { ...rest, User: user };
      return { comment: ` USER ${user}` };
    }
    case 'STOPSIGNAL': {
      const signal = expand(instruction.value);
      checkSignal(signal);
      draft.rest = { ...rest, StopSignal: signal };
      return { comment: ` STOPSIGNAL ${signal}` };
    }
    case 'VOLUME': {
      const volumes = instruction.words.map(word => expand(word).trim());
      if (volumes.some(volume => volume === '')) throw invalid('VOLUME specified can not be an empty string');
      for (const volume of volumes) draft.volumes.add(volume);
      return { comment: ` VOLUME [${volumes.join(' ')}]` };
    }
    case 'EXPOSE': {
      const ports = instruction.words.flatMap(word => expandWords(word, lookup, escapeChar)).flatMap(word => parsePorts(word, budget));
      for (const port of ports) draft.ports.add(port);
      return { comment: ` EXPOSE ${ports.join(' ')}` };
    }
    case 'HEALTHCHECK':
      draft.rest = { ...rest, Healthcheck: instruction.check };
      return { comment: ` HEALTHCHECK ${quoteWords(instruction.check.Test ?? [])}` };
    case 'ONBUILD':
      draft.onBuild.push(instruction.trigger);
      return { comment: ` ONBUILD ${instruction.trigger}` };
  }
}

function commandWords(draft: ConfigDraft, command: Command): string[] {
  return 'exec' in command ? command.exec : [...shellOf(draft), command.shell];
}

/** `80`, `80/udp`, `8000-8005/tcp`. */
function parsePorts(text: string, budget: PlanBudget): string[] {
  const [, from = '', to = from, protocol = 'tcp'] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/([A-Za-z]+))?$/.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to)];
  if (from === '' || first < 1 || last > 65_535 || last < first) throw invalid(`invalid containerPort: ${text.slice(0, 100)}`);
  const lower = protocol.toLowerCase();
  if (!['tcp', 'udp', 'sctp'].includes(lower)) throw invalid(`invalid proto: ${protocol.slice(0, 100)}`);
  budget.takePorts(last - first + 1);
  return Array.from({ length: last - first + 1 }, (_, i) => `${first + i}/${lower}`);
}

function checkSignal(signal: string): void {
  try {
    parseSignal(signal);
  } catch {
    throw invalid(`invalid signal: ${signal.slice(0, 100)}`);
  }
}

function invalid(message: string): UmiakError {
  return new UmiakError('Invalid', message);
}
