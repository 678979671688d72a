import { UmiakError } from '#base/errors.ts';
import { dockerfileError } from './dockerfile-error.ts';

/** A whole Dockerfile; one instruction of it. */
export const MAX_DOCKERFILE_BYTES: number = 1 << 20;
const MAX_INSTRUCTION_CHARS = 256 << 10;
const MAX_INSTRUCTIONS = 5000;

/** One instruction as written: continued lines joined, comments gone, flags (`--from=x`) apart. */
export interface Line {
  /** In upper case. */
  keyword: string;
  flags: string[];
  /** What follows the flags. */
  rest: string;
  /** The line, from 1, where it begins. */
  line: number;
  /** As in `Step 1/5 : …`. */
  text: string;
}

export interface Lines {
  /** What quotes characters and continues lines: `\`, or a backtick by the directive `escape`. */
  escapeChar: string;
  lines: Line[];
}

/** Splits a Dockerfile into instructions. @throws Invalid in docker's words */
export function readLines(text: string): Lines {
  if (Buffer.byteLength(text) > MAX_DOCKERFILE_BYTES)
    throw new UmiakError('Invalid', `the Dockerfile is longer than ${MAX_DOCKERFILE_BYTES} bytes`);
  const raw = text.replace(/^\uFEFF/, '').split('\n');
  const { escapeChar, at } = readDirectives(raw);
  const isContinued = new RegExp(`(?:^|[^\\${escapeChar}])\\${escapeChar}[ \\t]*$`);
  const lines: Line[] = [];
  for (let i = at; i < raw.length; i++) {
    const start = i;
    const first = trimEnd(raw[i]!).trimStart();
    if (first === '' || first.startsWith('#')) continue;
    const pieces: string[] = [];
    let chars = 0;
    for (let piece = first; ; ) {
      const goesOn = isContinued.test(piece);
      pieces.push(goesOn ? piece.trimEnd().slice(0, -1) : piece);
      chars += piece.length;
      if (chars > MAX_INSTRUCTION_CHARS)
        throw dockerfileError(start + 1, `the instruction has more than ${MAX_INSTRUCTION_CHARS} characters`);
      if (!goesOn) break;
      do i += 1;
      while (i < raw.length && isSkipped(raw[i]!));
      if (i >= raw.length) break;
      piece = trimEnd(raw[i]!);
    }
    lines.push(toLine(pieces.join(''), start + 1, escapeChar));
    if (lines.length > MAX_INSTRUCTIONS) throw dockerfileError(start + 1, `there are more than ${MAX_INSTRUCTIONS} instructions`);
  }
  return { escapeChar, lines };
}

/** Comments and empty lines may stand between continued ones. */
function isSkipped(line: string): boolean {
  const start = line.trimStart();
  return start === '' || start.startsWith('#');
}

function trimEnd(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}

const DIRECTIVE = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=(.*)$/;
const KNOWN_DIRECTIVES = new Set(['escape', 'syntax', 'check']);

/** They stand before everything else, even comments. */
function readDirectives(raw: readonly string[]): { escapeChar: string; at: number } {
  let escapeChar = '\\';
  const seen = new Set<string>();
  for (const [at, line] of raw.entries()) {
    const [, name = '', given = ''] = DIRECTIVE.exec(trimEnd(line)) ?? [];
    const value = given.trim();
    const directive = name.toLowerCase();
    if (value === '' || !KNOWN_DIRECTIVES.has(directive)) return { escapeChar, at };
    if (seen.has(directive)) throw dockerfileError(at + 1, `only one ${directive} parser directive can be used`);
    seen.add(directive);
    if (directive !== 'escape') continue;
    if (value !== '\\' && value !== '`') throw dockerfileError(at + 1, `invalid ESCAPE '${value}' does not match \` or \\`);
    escapeChar = value;
  }
  return { escapeChar, at: raw.length };
}

/** Splits keyword, flags and rest of one instruction. */
export function toLine(text: string, line: number, escapeChar: string): Line {
  const [, keyword = '', args = ''] = /^(\S+)\s*([\s\S]*)$/.exec(text.trim()) ?? [];
  const { flags, rest } = takeFlags(args, escapeChar);
  return { keyword: keyword.toUpperCase(), flags, rest: rest.trim(), line, text: `${keyword.toUpperCase()} ${args.trim()}`.trim() };
}

/** Words at the beginning that begin with `--`; quotes and escapes hold them together; a bare `--` ends them. */
function takeFlags(args: string, escapeChar: string): { flags: string[]; rest: string } {
  const flags: string[] = [];
  let at = 0;
  for (;;) {
    while (at < args.length && /\s/.test(args[at]!)) at++;
    if (!args.startsWith('--', at)) return { flags, rest: args.slice(at) };
    let word = '';
    let quote = '';
    for (; at < args.length && (quote !== '' || !/\s/.test(args[at]!)); at++) {
      const char = args[at]!;
      if (char === escapeChar && at + 1 < args.length) word += args[++at];
      else if (quote === '' && (char === '"' || char === "'")) quote = char;
      else if (char === quote) quote = '';
      else word += char;
    }
    if (word === '--') return { flags, rest: args.slice(at) };
    flags.push(word);
  }
}
