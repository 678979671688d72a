import { UmiakError } from '#base/errors.ts';

/** Values of variables; undefined is not set. */
export type Lookup = (name: string) => string | undefined;

const MAX_DEPTH = 32;
const MAX_RESULT_CHARS = 1 << 20;

/** Replaces variables and takes quotes and escapes away, as docker does. @throws Invalid (without a line) */
export function expandWord(word: string, lookup: Lookup, escapeChar: string): string {
  return new Expansion(word, lookup, escapeChar).run().join(' ');
}

/** The same, and splits what came of it at white space that is not quoted; variables' values are split too. */
export function expandWords(word: string, lookup: Lookup, escapeChar: string): string[] {
  return new Expansion(word, lookup, escapeChar).run({ splits: true });
}

class Expansion {
  readonly #text: string;
  readonly #lookup: Lookup;
  readonly #escapeChar: string;
  readonly #depth: number;
  #at = 0;
  #words: string[] = [];
  #word = '';
  #isInWord = false;
  #splits = false;

  constructor(text: string, lookup: Lookup, escapeChar: string, depth = 0) {
    if (depth > MAX_DEPTH) throw invalid('variables are nested too deeply');
    this.#text = text;
    this.#lookup = lookup;
    this.#escapeChar = escapeChar;
    this.#depth = depth;
  }

  run({ splits = false } = {}): string[] {
    this.#splits = splits;
    while (this.#at < this.#text.length) this.#step();
    this.#endWord();
    return this.#words;
  }

  #step(): void {
    const char = this.#text[this.#at]!;
    if (char === "'") this.#singleQuoted();
    else if (char === '"') this.#doubleQuoted();
    else if (char === '$') this.#add(this.#variable(), false);
    else if (char === this.#escapeChar) {
      this.#at += 1;
      if (this.#at < this.#text.length) this.#add(this.#text[this.#at++]!, true);
    } else {
      this.#at += 1;
      this.#add(char, false);
    }
  }

  #add(text: string, isQuoted: boolean): void {
    if (isQuoted || !this.#splits) {
      this.#word += text;
      this.#isInWord = true;
    } else
      for (const piece of text.split(/(\s+)/)) {
        if (piece === '') continue;
        if (/^\s/.test(piece)) this.#endWord();
        else {
          this.#word += piece;
          this.#isInWord = true;
        }
      }
    if (this.#word.length > MAX_RESULT_CHARS) throw invalid(`a word becomes longer than ${MAX_RESULT_CHARS} characters`);
  }

  #endWord(): void {
    if (this.#isInWord) this.#words.push(this.#word);
    this.#word = '';
    this.#isInWord = false;
  }

  #singleQuoted(): void {
    const end = this.#text.indexOf("'", this.#at + 1);
    if (end < 0) throw invalid('unexpected end of statement while looking for matching single-quote');
    this.#add(this.#text.slice(this.#at + 1, end), true);
    this.#at = end + 1;
  }

  #doubleQuoted(): void {
    this.#add('', true);
    this.#at += 1;
    for (;;) {
      const char = this.#text[this.#at];
      if (char === undefined) throw invalid('unexpected end of statement while looking for matching double-quote');
      if (char === '"') break;
      if (char === '$') {
        this.#add(this.#variable(), true);
        continue;
      }
      this.#at += 1;
      if (char !== this.#escapeChar) {
        this.#add(char, true);
        continue;
      }
      const next = this.#text[this.#at];
      if (next === undefined) throw invalid('unexpected end of statement while looking for matching double-quote');
      this.#at += 1;
      this.#add(next === '"' || next === '$' || next === this.#escapeChar ? next : char + next, true);
    }
    this.#at += 1;
  }

  /** At a `$`. */
  #variable(): string {
    this.#at += 1;
    if (this.#text[this.#at] !== '{') {
      const name = this.#name();
      return name === '' ? '$' : (this.#lookup(name) ?? '');
    }
    this.#at += 1;
    const next = this.#text[this.#at];
    if (next === undefined) throw invalid("syntax error: missing '}'");
    if (next === '{' || next === '}' || next === ':') throw invalid('syntax error: bad substitution');
    const name = this.#name();
    const value = this.#lookup(name);
    const isColon = this.#text[this.#at] === ':';
    if (isColon) this.#at += 1;
    const modifier = this.#text[this.#at++];
    if (modifier === '}' && !isColon) return value ?? '';
    if (modifier === undefined) throw invalid("syntax error: missing '}'");
    if (!'+-?'.includes(modifier)) throw invalid(`unsupported modifier (${isColon ? ':' : ''}${modifier}) in substitution`);
    const word = this.#untilBrace();
    const isSet = value !== undefined && !(isColon && value === '');
    if (modifier === '-') return isSet ? value : word();
    if (modifier === '+') return isSet ? word() : '';
    if (isSet) return value;
    throw invalid(`${name}: ${word() || 'not allowed to be unset'}`);
  }

  /** Letters, digits and `_`; or one digit or special character. */
  #name(): string {
    const [name = ''] = /^(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?\-!0])/.exec(this.#text.slice(this.#at, this.#at + 1024)) ?? [];
    this.#at += name.length;
    return name;
  }

  /** What stands before the brace that ends this substitution; expanded when it is needed. */
  #untilBrace(): () => string {
    const start = this.#at;
    for (let depth = 0; ; this.#at++) {
      const char = this.#text[this.#at];
      if (char === undefined) throw invalid("syntax error: missing '}'");
      if (char === this.#escapeChar) this.#at += 1;
      else if (char === '$' && this.#text[this.#at + 1] === '{') depth += 1;
      else if (char === '}' && depth-- === 0) break;
    }
    const word = this.#text.slice(start, this.#at);
    this.#at += 1;
    return () => new Expansion(word, this.#lookup, this.#escapeChar, this.#depth + 1).run().join(' ');
  }
}

function invalid(message: string): UmiakError {
  return new UmiakError('Invalid', message);
}

/** Splits at white space, quotes and escapes kept as they are: the words of ENV, LABEL and ARG before their variables are replaced. */
export function splitWords(text: string, escapeChar: string): string[] {
  const words: string[] = [];
  let word = '';
  let quote = '';
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (quote === '' && /\s/.test(char)) {
      if (word !== '') words.push(word);
      word = '';
      continue;
    }
    word += char;
    if (char === escapeChar && quote !== "'" && at + 1 < text.length) word += text[++at];
    else if (quote === '' && (char === '"' || char === "'")) quote = char;
    else if (char === quote) quote = '';
  }
  if (word !== '') words.push(word);
  return words;
}
