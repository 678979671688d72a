import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseJson } from './json-words.ts';

describe('what is no JSON is told in the words of docker’s decoder', () => {
  const rows: [text: string, says: string][] = [
    ['{invalid json', "invalid JSON: invalid character 'i' looking for beginning of object key string"],
    ['{"a":1,}', "invalid JSON: invalid character '}' looking for beginning of object key string"],
    ['{} trailing content', 'unexpected content after JSON'],
    ['{}}', 'unexpected content after JSON'],
    ['x', "invalid JSON: invalid character 'x' looking for beginning of value"],
    ['{"a":x}', "invalid JSON: invalid character 'x' looking for beginning of value"],
    ['{"a" 1}', "invalid JSON: invalid character '1' after object key"],
    ['{"a":1 2}', "invalid JSON: invalid character '2' after object key:value pair"],
    ['[1 2]', "invalid JSON: invalid character '2' after array element"],
    ['{"a\nb":1}', "invalid JSON: invalid character '\\n' in string literal"],
    ['{', 'invalid JSON: unexpected EOF'],
    ['{"a', 'invalid JSON: unexpected EOF'],
    ['', 'invalid JSON: unexpected EOF'],
    ['{"a":[1,', 'invalid JSON: unexpected EOF'],
  ];
  for (const [text, message] of rows)
    it(JSON.stringify(text), () => assert.throws(() => parseJson(text), { reason: 'BadRequest', message }));
});
