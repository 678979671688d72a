import { messageOf, UmiakError } from '#base/errors.ts';

/** What the engine of JavaScript says of a text that is no JSON, and what Go's decoder, by which clients know it, says there. */
const GO_WORDS: readonly [says: RegExp, go: string][] = [
  [/^Expected (property name|double-quoted property name)/, 'looking for beginning of object key string'],
  [/^Expected ':' after property name/, 'after object key'],
  [/^Expected ',' or '}' after property value/, 'after object key:value pair'],
  [/^Expected ',' or ']' after array element/, 'after array element'],
  [/^Bad control character in string/, 'in string literal'],
  [/^Bad escaped character/, 'in string escape code'],
  [/^(No number after minus|Exponent part is missing|Unterminated fractional)/, 'in numeric literal'],
  [/^Unexpected token/, 'looking for beginning of value'],
];

/** JSON as docker reads it. @throws BadRequest in its words */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UmiakError('BadRequest', toGoWords(messageOf(cause), text), { cause });
  }
}

/** Pure. */
function toGoWords(said: string, text: string): string {
  if (said.includes('after JSON')) return 'unexpected content after JSON';
  const position = /at position (\d+)/.exec(said)?.[1];
  const character = position === undefined ? /^Unexpected token '(.)'/su.exec(said)?.[1] : text[Number(position)];
  const [, words] = GO_WORDS.find(([pattern]) => pattern.test(said)) ?? [];
  if (words === undefined || character === undefined) return 'invalid JSON: unexpected EOF';
  return `invalid JSON: invalid character ${JSON.stringify(character).replace(/^"(.*)"$/, "'$1'")} ${words}`;
}
