import { UmiakError } from '#base/errors.ts';
import type { ContainerConfig } from '#images/index.ts';
import { dockerfileError } from './dockerfile-error.ts';
import { readFlags } from './flags.ts';
import { parseHealthcheck } from './healthcheck.ts';
import { jsonWords } from './json-words.ts';
import type { Line } from './lines.ts';
import { splitWords } from './words.ts';

/** A command as the shell's text, or as words (`["a", "b"]`). */
export type Command = { shell: string } | { exec: string[] };

/** A name with its value; variables are not replaced yet. */
export interface Pair {
  key: string;
  value: string;
}

export interface CopyInstruction {
  keyword: 'COPY' | 'ADD';
  sources: string[];
  destination: string;
  from?: string;
  chown?: string;
  chmod?: string;
  checksum?: string;
}

/** One instruction, its parts told apart; variables are not replaced yet. */
export type Instruction =
  | { keyword: 'FROM'; image: string; name?: string; platform?: string }
  | { keyword: 'ARG'; args: { name: string; value?: string }[] }
  | { keyword: 'ENV'; pairs: Pair[] }
  | { keyword: 'LABEL'; pairs: Pair[] }
  | { keyword: 'RUN'; command: Command }
  | { keyword: 'CMD' | 'ENTRYPOINT'; command: Command }
  | { keyword: 'SHELL'; words: string[] }
  | CopyInstruction
  | { keyword: 'WORKDIR'; value: string }
  | { keyword: 'USER'; value: string }
  | { keyword: 'STOPSIGNAL'; value: string }
  | { keyword: 'MAINTAINER'; value: string }
  | { keyword: 'VOLUME'; words: string[] }
  | { keyword: 'EXPOSE'; words: string[] }
  | { keyword: 'HEALTHCHECK'; check: NonNullable<ContainerConfig['Healthcheck']> }
  | { keyword: 'ONBUILD'; trigger: string };

/** Reads one instruction. @throws Invalid in docker's words with the line */
export function parseInstruction(line: Line, escapeChar: string): Instruction {
  const parse = PARSERS[line.keyword];
  if (!parse) throw dockerfileError(line.line, `unknown instruction: ${line.keyword.slice(0, 100)}`);
  try {
    if (TAKES_HEREDOC.has(line.keyword) && isHeredoc(line)) throw invalid(`the here-document of ${line.keyword} requires BuildKit`);
    return parse(line, escapeChar);
  } catch (error) {
    if (error instanceof UmiakError && !error.message.startsWith('dockerfile parse error')) throw dockerfileError(line.line, error.message);
    throw error;
  }
}

const TAKES_HEREDOC = new Set(['RUN', 'COPY', 'ADD']);

type Parser = (line: Line, escapeChar: string) => Instruction;

const PARSERS: Readonly<Record<string, Parser>> = {
  FROM: parseFrom,
  ARG: parseArg,
  ENV: (line, escapeChar) => ({ keyword: 'ENV', pairs: parsePairs('ENV', line, escapeChar) }),
  LABEL: (line, escapeChar) => ({ keyword: 'LABEL', pairs: parsePairs('LABEL', line, escapeChar) }),
  RUN: line => {
    readFlags(line, { buildKit: ['mount', 'network', 'security', 'device'] });
    return { keyword: 'RUN', command: parseCommand(line) };
  },
  CMD: line => ({ keyword: 'CMD', command: parseCommand(line, { mayBeEmpty: true }) }),
  ENTRYPOINT: line => ({ keyword: 'ENTRYPOINT', command: parseCommand(line, { mayBeEmpty: true }) }),
  SHELL: parseShell,
  COPY: line => parseCopy('COPY', line),
  ADD: line => parseCopy('ADD', line),
  WORKDIR: line => ({ keyword: 'WORKDIR', value: oneArgument(line) }),
  USER: line => ({ keyword: 'USER', value: oneArgument(line) }),
  STOPSIGNAL: line => ({ keyword: 'STOPSIGNAL', value: oneArgument(line) }),
  MAINTAINER: line => ({ keyword: 'MAINTAINER', value: oneArgument(line) }),
  VOLUME: parseVolume,
  EXPOSE: line => ({ keyword: 'EXPOSE', words: someWords(line) }),
  HEALTHCHECK: line => ({ keyword: 'HEALTHCHECK', check: parseHealthcheck(line) }),
  ONBUILD: parseOnBuild,
};

/** A shift in the shell's arithmetic is none. */
function isHeredoc({ rest, keyword }: Line): boolean {
  if (rest.startsWith('[') || rest.includes('((')) return false;
  return (keyword === 'RUN' ? /(?:^|\s)<<-?["']?[A-Za-z_]/ : /(?:^|\s)<<-?["']?[A-Za-z_]\S*(?:\s|$)/).test(rest);
}

const STAGE_NAME = /^[a-z][a-z0-9-_.]*$/;

function parseFrom(line: Line): Instruction {
  const { platform } = readFlags(line, { known: ['platform'] });
  const words = line.rest.split(/\s+/).filter(Boolean);
  const [image = '', as = '', name = ''] = words;
  if (words.length !== 1 && !(words.length === 3 && as.toLowerCase() === 'as'))
    throw invalid('FROM requires either one or three arguments');
  const given = { keyword: 'FROM' as const, image, ...(platform !== undefined ? { platform } : {}) };
  if (words.length === 1) return given;
  const lower = name.toLowerCase();
  if (!STAGE_NAME.test(lower)) throw invalid(`invalid name for build stage: "${name}", name can't start with a number or contain symbols`);
  return { ...given, name: lower };
}

function parseArg(line: Line, escapeChar: string): Instruction {
  const words = splitWords(line.rest, escapeChar);
  if (words.length === 0) throw invalid('ARG requires at least one argument');
  readFlags(line, {});
  const args = words.map(word => {
    const at = word.indexOf('=');
    const name = at < 0 ? word : word.slice(0, at);
    if (name === '') throw invalid('ARG names can not be blank');
    return { name, ...(at < 0 ? {} : { value: word.slice(at + 1) }) };
  });
  return { keyword: 'ARG', args };
}

function parsePairs(keyword: 'ENV' | 'LABEL', line: Line, escapeChar: string): Pair[] {
  readFlags(line, {});
  const words = splitWords(line.rest, escapeChar);
  if (words.length === 0) throw invalid(`${keyword} requires at least one argument`);
  if (!words[0]!.includes('=')) {
    const [, key = '', value] = /^(\S+)\s+([\s\S]+)$/.exec(line.rest) ?? [];
    if (value === undefined) throw invalid(`${keyword} must have two arguments`);
    return [{ key, value }];
  }
  return words.map(word => {
    const at = word.indexOf('=');
    if (at < 0) throw invalid(`Syntax error - can't find = in "${word.slice(0, 200)}". Must be of the form: name=value`);
    if (at === 0) throw invalid(`${keyword} names can not be blank`);
    return { key: word.slice(0, at), value: word.slice(at + 1) };
  });
}

function parseCommand(line: Line, { mayBeEmpty = false } = {}): Command {
  if (line.keyword !== 'RUN') readFlags(line, {});
  const exec = jsonWords(line.rest);
  if (exec) return { exec };
  if (line.rest === '' && !mayBeEmpty) throw invalid(`${line.keyword} requires at least one argument`);
  return line.rest === '' ? { exec: [] } : { shell: line.rest };
}

function parseShell(line: Line): Instruction {
  readFlags(line, {});
  const words = jsonWords(line.rest);
  if (!words) throw invalid('SHELL requires the arguments to be in JSON form');
  if (words.length === 0) throw invalid('SHELL requires at least one argument');
  return { keyword: 'SHELL', words };
}

function parseCopy(keyword: 'COPY' | 'ADD', line: Line): CopyInstruction {
  const known = keyword === 'COPY' ? ['from', 'chown', 'chmod'] : ['chown', 'chmod', 'checksum'];
  const flags = readFlags(line, { known, buildKit: ['link', 'parents', 'exclude', 'keep-git-dir', 'unpack'] });
  const words = jsonWords(line.rest) ?? line.rest.split(/\s+/).filter(Boolean);
  if (words.length === 0) throw invalid(`${keyword} requires at least two arguments`);
  if (words.length < 2)
    throw invalid(`${keyword} requires at least two arguments, but only one was provided. Destination could not be determined`);
  return { keyword, sources: words.slice(0, -1), destination: words.at(-1)!, ...flags };
}

function oneArgument(line: Line): string {
  readFlags(line, {});
  if (line.rest === '') throw invalid(`${line.keyword} requires exactly one argument`);
  return line.rest;
}

function someWords(line: Line): string[] {
  readFlags(line, {});
  const words = line.rest.split(/\s+/).filter(Boolean);
  if (words.length === 0) throw invalid(`${line.keyword} requires at least one argument`);
  return words;
}

function parseVolume(line: Line): Instruction {
  const words = jsonWords(line.rest) ?? someWords(line);
  if (words.length === 0) throw invalid('VOLUME requires at least one argument');
  if (words.some(word => word === '')) throw invalid('VOLUME specified can not be an empty string');
  return { keyword: 'VOLUME', words };
}

function parseOnBuild(line: Line): Instruction {
  const trigger = line.rest;
  const keyword = (/^\S*/.exec(trigger)?.[0] ?? '').toUpperCase();
  if (keyword === '') throw invalid('ONBUILD requires at least one argument');
  if (keyword === 'ONBUILD') throw invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (keyword === 'MAINTAINER' || keyword === 'FROM') throw invalid(`${keyword} isn't allowed as an ONBUILD trigger`);
  if (!(keyword in PARSERS)) throw invalid(`unknown instruction: ${keyword.slice(0, 100)}`);
  return { keyword: 'ONBUILD', trigger };
}

function invalid(message: string): UmiakError {
  return new UmiakError('Invalid', message);
}
