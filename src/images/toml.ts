import { UmiakError } from '#base/errors.ts';

/** What `hosts.toml` is made of: the part of TOML 1.0 with tables, strings, booleans and arrays. */
export type TomlValue = string | boolean | TomlValue[] | TomlTable;

/** Keys in the order in which they were written, which for hosts is the order in which they are asked. */
export type TomlTable = Map<string, TomlValue>;

const MAX_DEPTH = 8;
const ESCAPES: Record<string, string> = { b: '\b', t: '\t', n: '\n', f: '\f', r: '\r', '"': '"', '\\': '\\' };

/** Reads a TOML document. @throws Invalid with the line, also for what TOML has and `hosts.toml` never needs (numbers, dates, `"""`, `[[…]]`). */
export function parseToml(text: string, what: string): TomlTable {
  return new TomlReader(text, what).read();
}

class TomlReader {
  readonly #text: string;
  readonly #what: string;
  #at = 0;
  /** Tables that a header opened; each may be opened once. */
  readonly #opened = new Set<TomlTable>();
  /** Tables that a value made: complete, nothing is added to them. */
  readonly #closed = new Set<TomlTable>();

  constructor(text: string, what: string) {
    this.#text = text.replace(/^\uFEFF/, '');
    this.#what = what;
  }

  read(): TomlTable {
    const root: TomlTable = new Map();
    let table = root;
    for (this.#skipLines(); this.#at < this.#text.length; this.#skipLines()) {
      if (this.#take('[')) table = this.#header(root);
      else this.#assignment(table);
      this.#endOfLine();
    }
    return root;
  }

  #header(root: TomlTable): TomlTable {
    if (this.#peek() === '[') throw this.#refuse('arrays of tables ([[…]]) have no place here');
    const path = this.#keys();
    this.#expect(']');
    const table = this.#descend(root, path);
    if (this.#opened.has(table)) throw this.#refuse(`the table [${path.join('.')}] stands twice`);
    this.#opened.add(table);
    return table;
  }

  #assignment(table: TomlTable, depth = 0): void {
    const path = this.#keys();
    this.#expect('=');
    const owner = this.#descend(table, path.slice(0, -1));
    const key = path.at(-1) ?? '';
    if (owner.has(key)) throw this.#refuse(`the key ${JSON.stringify(path.join('.'))} stands twice`);
    owner.set(key, this.#value(depth));
  }

  #descend(from: TomlTable, path: readonly string[]): TomlTable {
    let table = from;
    for (const key of path) {
      const next = table.get(key) ?? new Map();
      if (!(next instanceof Map) || this.#closed.has(next)) throw this.#refuse(`${JSON.stringify(key)} already has a value`);
      table.set(key, next);
      table = next;
    }
    return table;
  }

  #keys(): string[] {
    const keys: string[] = [];
    do {
      this.#skipBlanks();
      const quote = this.#peek();
      const key = quote === '"' || quote === "'" ? this.#string() : this.#match(/[A-Za-z0-9_-]+/y);
      if (key === undefined) throw this.#refuse('a key was expected');
      keys.push(key);
      this.#skipBlanks();
    } while (this.#take('.'));
    if (keys.length > MAX_DEPTH) throw this.#refuse(`a key has more than ${MAX_DEPTH} parts`);
    return keys;
  }

  #value(depth: number): TomlValue {
    if (depth > MAX_DEPTH) throw this.#refuse(`values lie in more than ${MAX_DEPTH} others`);
    this.#skipBlanks();
    const first = this.#peek();
    if (first === '"' || first === "'") return this.#string();
    if (this.#take('[')) return this.#array(depth);
    if (this.#take('{')) return this.#inlineTable(depth);
    const word = this.#match(/[^\s,#\]}]+/y);
    if (word === 'true' || word === 'false') return word === 'true';
    throw this.#refuse(`${JSON.stringify(word ?? '')} is none of "text", true, false, [list] and { table }`);
  }

  #array(depth: number): TomlValue[] {
    const values: TomlValue[] = [];
    for (this.#skipLines(); !this.#take(']'); this.#skipLines()) {
      values.push(this.#value(depth + 1));
      this.#skipLines();
      if (!this.#take(',') && this.#peek() !== ']') throw this.#refuse('a comma or ] was expected');
    }
    return values;
  }

  #inlineTable(depth: number): TomlTable {
    const table: TomlTable = new Map();
    this.#skipBlanks();
    if (!this.#take('}')) {
      do this.#assignment(table, depth + 1);
      while (this.#skipBlanks() || this.#take(','));
      this.#expect('}');
    }
    this.#closed.add(table);
    return table;
  }

  #string(): string {
    const quote = this.#text[this.#at];
    if (this.#text.startsWith(quote!.repeat(3), this.#at)) throw this.#refuse('texts of several lines have no place here');
    if (quote === "'") {
      const literal = this.#match(/'[^'\n\r]*'/y);
      if (literal === undefined) throw this.#refuse("a text does not end: ' is missing");
      return literal.slice(1, -1);
    }
    const basic = this.#match(/"(?:[^"\\\n\r]|\\.)*"/y);
    if (basic === undefined) throw this.#refuse('a text does not end: " is missing');
    return basic.slice(1, -1).replace(/\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)/g, (_, code: string) => this.#escaped(code));
  }

  #escaped(code: string): string {
    const point = code.length > 1 ? Number.parseInt(code.slice(1), 16) : undefined;
    const isScalar = point !== undefined && point <= 0x10ffff && !(point >= 0xd800 && point <= 0xdfff);
    const character = isScalar ? String.fromCodePoint(point) : ESCAPES[code];
    if (character === undefined) throw this.#refuse(`\\${code} is no escape in a text`);
    return character;
  }

  #endOfLine(): void {
    this.#match(/[ \t]*(#[^\n\r]*)?/y);
    if (this.#at < this.#text.length && this.#match(/\r?\n/y) === undefined) throw this.#refuse('the end of the line was expected');
  }

  #skipLines(): void {
    this.#match(/(?:[ \t]|\r?\n|#[^\n\r]*)*/y);
  }

  /** Always false, so that it may stand in a condition. */
  #skipBlanks(): false {
    this.#match(/[ \t]*/y);
    return false;
  }

  #peek(): string | undefined {
    return this.#text[this.#at];
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#at++;
    return true;
  }

  #expect(character: string): void {
    this.#skipBlanks();
    if (!this.#take(character)) throw this.#refuse(`${character} was expected`);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #refuse(problem: string): UmiakError {
    const line = this.#text.slice(0, this.#at).split('\n').length;
    return new UmiakError('Invalid', `${this.#what}: line ${line}: ${problem}`, { hint: 'Correct the line; it is read again by itself.' });
  }
}
