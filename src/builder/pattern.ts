import { UmiakError } from '#base/errors.ts';

/** What a position in a pattern takes. */
type Token =
  | { kind: 'char'; takes: (char: string) => boolean }
  /** Any number of characters, slashes among them or not. */
  | { kind: 'loop'; slashes: boolean }
  /** Nothing, or what ends in a slash. */
  | { kind: 'directories' };

/** A shell pattern over slash-separated paths, matched in time proportional to its length: no pattern is too slow. */
export class Pattern {
  readonly #tokens: Token[];

  private constructor(tokens: Token[]) {
    this.#tokens = tokens;
  }

  /** Go's `filepath.Match`: `*` and `?` take no slash, `[a-z]`, `[^a]`, `\c`. @throws Invalid */
  static ofFiles(text: string): Pattern {
    return new Pattern(compile(text, false));
  }

  /** `.dockerignore`'s: the same, and `**` takes any number of directories. @throws Invalid */
  static ofIgnore(text: string): Pattern {
    return new Pattern(compile(text, true));
  }

  matches(path: string): boolean {
    let states = this.#close([0]);
    for (const char of path) {
      const next: number[] = [];
      for (const state of states) {
        const token = this.#tokens[state & ~INSIDE];
        if (token === undefined) continue;
        if (token.kind === 'char') {
          if (token.takes(char)) next.push(state + 1);
        } else if (token.kind === 'loop') {
          if (token.slashes || char !== '/') next.push(state);
        } else {
          next.push(state | INSIDE);
          if (char === '/') next.push((state & ~INSIDE) + 1);
        }
      }
      states = this.#close(next);
      if (states.size === 0) return false;
    }
    return states.has(this.#tokens.length);
  }

  /** Adds what can be reached without taking a character. */
  #close(from: readonly number[]): Set<number> {
    const states = new Set<number>();
    for (const start of from)
      for (let state = start; !states.has(state); state++) {
        states.add(state);
        const token = this.#tokens[state];
        if ((state & INSIDE) !== 0 || token === undefined || token.kind === 'char') break;
      }
    return states;
  }
}

/** Marks a state that is in the middle of a directory's name. */
const INSIDE = 1 << 20;
const MAX_PATTERN_CHARS = 4096;

function compile(text: string, isIgnore: boolean): Token[] {
  if (text.length > MAX_PATTERN_CHARS) throw malformed(text, `it is longer than ${MAX_PATTERN_CHARS} characters`);
  const tokens: Token[] = [];
  const chars = [...text];
  for (let at = 0; at < chars.length; at++) {
    const char = chars[at]!;
    if (isIgnore && char === '*' && chars[at + 1] === '*') {
      while (chars[at + 1] === '*') at += 1;
      const isBeforeSlash = chars[at + 1] === '/';
      if (isBeforeSlash) at += 1;
      tokens.push(isBeforeSlash ? { kind: 'directories' } : { kind: 'loop', slashes: true });
    } else if (char === '*') tokens.push({ kind: 'loop', slashes: false });
    else if (char === '?') tokens.push({ kind: 'char', takes: other => other !== '/' });
    else if (char === '[') {
      const { takes, end } = compileClass(chars, at, text);
      tokens.push({ kind: 'char', takes });
      at = end;
    } else {
      if (char === '\\') at += 1;
      const literal = chars[at];
      if (literal === undefined) throw malformed(text, 'it ends in a backslash');
      tokens.push({ kind: 'char', takes: other => other === literal });
    }
  }
  return tokens;
}

function compileClass(chars: readonly string[], start: number, text: string): { takes: (char: string) => boolean; end: number } {
  let at = start + 1;
  const isNegated = chars[at] === '^';
  if (isNegated) at += 1;
  const ranges: [from: number, to: number][] = [];
  const one = (): number => {
    if (chars[at] === '\\') at += 1;
    const char = chars[at++];
    if (char === undefined || (char === '-' && ranges.length === 0 && chars[at] !== ']')) throw malformed(text, 'a class is not closed');
    return char.codePointAt(0) ?? 0;
  };
  while (chars[at] !== ']' || ranges.length === 0) {
    const from = one();
    let to = from;
    if (chars[at] === '-' && chars[at + 1] !== ']') {
      at += 1;
      to = one();
    }
    ranges.push([from, to]);
    if (at >= chars.length) throw malformed(text, 'a class is not closed');
  }
  const takes = (char: string) => {
    const code = char.codePointAt(0) ?? 0;
    return char !== '/' && ranges.some(([from, to]) => code >= from && code <= to) !== isNegated;
  };
  return { takes, end: at };
}

function malformed(text: string, why: string): UmiakError {
  return new UmiakError('Invalid', `syntax error in pattern ${JSON.stringify(text.slice(0, 200))}: ${why}`);
}
