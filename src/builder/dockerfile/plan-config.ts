import { posix } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import type { ContainerConfig } from '#images/index.ts';
import { parseSignal } from '#linux/process.ts';
import type { Command, Instruction } from './instructions.ts';
import { envMap } from './substitution.ts';
import { expandWords, type Lookup } from './words.ts';

/** Instructions that change an image's configuration. */
export type ConfigInstruction = Exclude<Instruction, { keyword: 'FROM' | 'ARG' | 'RUN' | 'COPY' | 'ADD' | 'MAINTAINER' }>;

export interface ConfigChange {
  config: ContainerConfig;
  /** As history has it. */
  comment: string;
  /** A directory that must be there. */
  workingDir?: string;
}

/** What shell-form commands are run by. */
export function shellOf({ Shell }: ContainerConfig): string[] {
  return Shell && Shell.length > 0 ? Shell : ['/bin/sh', '-c'];
}

/** Go's `%q` of a list of strings. */
export function quoteWords(words: readonly string[]): string {
  return `[${words.map(word => JSON.stringify(word)).join(' ')}]`;
}

const MAX_PORTS = 65_536;

/** The configuration after an instruction. @throws Invalid in docker's words. Pure. */
export function applyConfig(
  config: ContainerConfig,
  instruction: ConfigInstruction,
  { lookup, expand, escapeChar }: { lookup: Lookup; expand: (text: string) => string; escapeChar: string },
): ConfigChange {
  switch (instruction.keyword) {
    case 'ENV': {
      const env = envMap(config.Env ?? []);
      const pairs = instruction.pairs.map(({ key, value }) => ({ key: expand(key), value: expand(value) }));
      for (const { key, value } of pairs) env.set(key, value);
      const Env = [...env].map(([key, value]) => `${key}=${value}`);
      return { config: { ...config, Env }, comment: ` ENV ${pairs.map(({ key, value }) => `${key}=${value}`).join(' ')}` };
    }
    case 'LABEL': {
      const pairs = instruction.pairs.map(({ key, value }) => [expand(key), expand(value)] as const);
      const Labels = { ...config.Labels, ...Object.fromEntries(pairs) };
      return { config: { ...config, Labels }, comment: ` LABEL ${pairs.map(([key, value]) => `${key}=${value}`).join(' ')}` };
    }
    case 'CMD':
    case 'ENTRYPOINT': {
      const words = commandWords(config, instruction.command);
      const field = instruction.keyword === 'CMD' ? 'Cmd' : 'Entrypoint';
      return { config: { ...config, [field]: words }, comment: ` ${instruction.keyword} ${quoteWords(words)}` };
    }
    case 'SHELL':
      return { config: { ...config, Shell: instruction.words }, comment: ` SHELL [${instruction.words.join(' ')}]` };
    case 'WORKDIR': {
      const asked = expand(instruction.value);
      if (asked === '') throw invalid('WORKDIR requires exactly one argument');
      const path = posix.normalize(posix.isAbsolute(asked) ? asked : posix.join('/', config.WorkingDir ?? '/', asked));
      const workingDir = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
      return { config: { ...config, WorkingDir: workingDir }, comment: ` WORKDIR ${workingDir}`, workingDir };
    }
    case 'USER': {
      const user = expand(instruction.value);
      return { config: { ...config, User: user }, comment: ` USER ${user}` };
    }
    case 'STOPSIGNAL': {
      const signal = expand(instruction.value);
      checkSignal(signal);
      return { config: { ...config, StopSignal: signal }, comment: ` STOPSIGNAL ${signal}` };
    }
    case 'VOLUME': {
      const volumes = instruction.words.map(word => expand(word).trim());
      if (volumes.some(volume => volume === '')) throw invalid('VOLUME specified can not be an empty string');
      return {
        config: { ...config, Volumes: { ...config.Volumes, ...Object.fromEntries(volumes.map(volume => [volume, {}])) } },
        comment: ` VOLUME [${volumes.join(' ')}]`,
      };
    }
    case 'EXPOSE': {
      const ports = instruction.words.flatMap(word => expandWords(word, lookup, escapeChar)).flatMap(parsePorts);
      if (ports.length > MAX_PORTS) throw invalid(`EXPOSE names more than ${MAX_PORTS} ports`);
      return {
        config: { ...config, ExposedPorts: { ...config.ExposedPorts, ...Object.fromEntries(ports.map(port => [port, {}])) } },
        comment: ` EXPOSE ${ports.join(' ')}`,
      };
    }
    case 'HEALTHCHECK':
      return { config: { ...config, Healthcheck: instruction.check }, comment: ` HEALTHCHECK ${quoteWords(instruction.check.Test ?? [])}` };
    case 'ONBUILD':
      return {
        config: { ...config, OnBuild: [...(config.OnBuild ?? []), instruction.trigger] },
        comment: ` ONBUILD ${instruction.trigger}`,
      };
  }
}

function commandWords(config: ContainerConfig, command: Command): string[] {
  return 'exec' in command ? command.exec : [...shellOf(config), command.shell];
}

/** `80`, `80/udp`, `8000-8005/tcp`. */
function parsePorts(text: string): string[] {
  const [, from = '', to = from, protocol = 'tcp'] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/([A-Za-z]+))?$/.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to)];
  if (from === '' || first < 1 || last > 65_535 || last < first) throw invalid(`invalid containerPort: ${text.slice(0, 100)}`);
  const lower = protocol.toLowerCase();
  if (!['tcp', 'udp', 'sctp'].includes(lower)) throw invalid(`invalid proto: ${protocol.slice(0, 100)}`);
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
