import { RE2JS } from 're2js';
import { BudgetExceeded, CelError } from '../errors.ts';
import { define, type Overload, same, scanRegex } from '../overload.ts';
import { ValueList } from '../values.ts';

const CACHED_PATTERNS = 1_024;
const LONGEST_PATTERN = 16_384;
/** Characters times instructions of one match: about half a second, which nothing can interrupt. */
const MOST_STEPS = 20_000_000;
const patterns = new Map<string, RE2JS>();

/** A pattern in RE2's syntax: matching takes time linear in the text. @throws CelError */
export function regex(pattern: string): RE2JS {
  const known = patterns.get(pattern);
  if (known) return known;
  if (pattern.length > LONGEST_PATTERN) throw new CelError('error parsing regexp: expression too large');
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(pattern);
  } catch (error) {
    throw new CelError(error instanceof Error ? error.message : 'error parsing regexp');
  }
  patterns.set(pattern, compiled);
  if (patterns.size > CACHED_PATTERNS) patterns.delete(patterns.keys().next().value as string);
  return compiled;
}

/** Searches a text. @throws BudgetExceeded before it begins what would take too long */
function matcherOf(text: string, pattern: string) {
  const compiled = regex(pattern);
  if (text.length * compiled.programSize() > MOST_STEPS) throw new BudgetExceeded('operation cancelled: actual cost limit exceeded');
  return compiled.matcher(text);
}

function findAll(text: string, pattern: string, most: number): ValueList {
  const matcher = matcherOf(text, pattern);
  const found: string[] = [];
  while (found.length !== most && matcher.find()) found.push(matcher.group() ?? '');
  return new ValueList(found);
}

const matches = (text: string, pattern: string) => matcherOf(text, pattern).find();

/** `matches`, `find` and `findAll`. */
export const regexes: readonly Overload[] = [
  define('matches(string, string): bool', matches, { cost: scanRegex }),
  define('string.matches(string): bool', matches, { cost: scanRegex }),
  define('string.find(string): string', (text: string, pattern: string) => findAll(text, pattern, 1).items[0] ?? '', {
    cost: scanRegex,
    resultSize: same,
  }),
  define('string.findAll(string): list<string>', (text: string, pattern: string) => findAll(text, pattern, -1), {
    cost: scanRegex,
    resultSize: same,
  }),
  define(
    'string.findAll(string, int): list<string>',
    (text: string, pattern: string, most: bigint) => findAll(text, pattern, Number(most)),
    {
      cost: scanRegex,
      resultSize: same,
    },
  ),
];
