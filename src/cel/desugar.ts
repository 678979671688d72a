/** A text that the library's parser understands, with the way back to the offsets of the author's. */
export interface Desugared {
  text: string;
  toSource(offset: number): number;
}

/** The method by which a message literal `Object.spec{…}` reaches the checker. */
export const STRUCT = '__struct__';
/** The function around an optional element `[?x]`, `{?key: x}`. */
export const OPTIONAL_ELEMENT = '__element__';

const NEEDED = /[\w`]\s*\{|[[{,]\s*\?/;
const TOKEN =
  /\s+|\/\/[^\n]*|[bB]?[rR]?(?:"""[\s\S]*?"""|'''[\s\S]*?''')|[bB]?[rR](?:"[^"\n]*"|'[^'\n]*')|[bB]?(?:"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|[A-Za-z_]\w*|\d[\w.]*|[\s\S]/y;
const CLOSERS: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

/** An open bracket; an optional element is one without a sign of its own. */
interface Open {
  kind: '(' | '[' | '{' | '?';
  /** True when elements may be marked optional here. */
  isLiteral: boolean;
  isStruct: boolean;
  ternaries: number;
}

/** Rewrites message literals and optional elements, which the parser does not know, into calls. Nearly all texts pass as they are. */
export function desugar(source: string): Desugared {
  if (!NEEDED.test(source)) return { text: source, toSource: offset => offset };
  const marks: [out: number, source: number][] = [];
  const open: Open[] = [];
  let text = '';
  let before = '';
  const insert = (inserted: string, at: number) => {
    text += inserted;
    marks.push([text.length, at]);
  };
  const closeElement = (at: number) => {
    if (open.at(-1)?.kind !== '?') return;
    open.pop();
    insert(')', at);
  };
  for (let at = 0; at < source.length; ) {
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(source)?.[0] ?? source.charAt(at);
    const top = open.at(-1);
    const isOperand = /[\w)\]}"'`]$/.test(before) && before !== 'in';
    if (token === '{' && isOperand && /^[A-Za-z_]/.test(before)) {
      insert(`.${STRUCT}(`, at);
      open.push({ kind: '{', isLiteral: true, isStruct: true, ternaries: 0 });
      text += token;
    } else if (token in CLOSERS) {
      open.push({ kind: token as Open['kind'], isLiteral: token !== '(' && !isOperand, isStruct: false, ternaries: 0 });
      text += token;
    } else if (token === ')' || token === ']' || token === '}') {
      closeElement(at);
      const closed = open.pop();
      text += token;
      if (closed?.isStruct) insert(')', at + 1);
    } else if (token === '?' && top?.isLiteral && (before === ',' || before === top.kind)) {
      insert(`optional.${OPTIONAL_ELEMENT}(`, at + 1);
      open.push({ kind: '?', isLiteral: false, isStruct: false, ternaries: 0 });
    } else {
      if (token === '?' && top && source[at + 1] !== '.' && before !== '.' && isOperand) top.ternaries++;
      if (token === ',' || (token === ':' && top?.ternaries === 0)) closeElement(at);
      else if (token === ':' && top && top.ternaries > 0) top.ternaries--;
      text += token;
    }
    if (!/^(?:\s|\/\/)/.test(token)) before = token;
    at += token.length;
  }
  return { text, toSource: offset => back(marks, offset) };
}

function back(marks: readonly (readonly [number, number])[], offset: number): number {
  let shift = 0;
  for (const [out, at] of marks) {
    if (out > offset) break;
    shift = out - at;
  }
  return Math.max(0, offset - shift);
}
