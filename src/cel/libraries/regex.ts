import { RE2JS } from 're2js';
import { BudgetExceeded, CelError } from '../errors.ts';
import { define, type Overload, same, scanRegex } from '../overload.ts';
import { ValueList } from '../values.ts';
import { sizeOfPattern } from './pattern-size.ts';

const CACHED_PATTERNS = 1_024;
const LONGEST_PATTERN = 16_384;
/** Instructions that a pattern may come to, roughly: what is repeated counts as often. */
const MOST_INSTRUCTIONS = 10_000;
/** Characters times instructions of one match, which nothing can interrupt; what takes many instructions takes longer for each, too. */
const MOST_STEPS = 5_000_000;
const MOST_STEPS_OF_LARGE = 1_000_000;
const LARGE = 100;
/** A search that begins anew after each find may go through the rest of the text each time. */
const MOST_SEARCH_MS = 50;
const patterns = new Map<string, RE2JS>();

/** A pattern in RE2's syntax: matching takes time linear in the text. @throws CelError */
export function regex(pattern: string): RE2JS {
  const known = patterns.get(pattern);
  if (known) return known;
  if (pattern.length > LONGEST_PATTERN || sizeOfPattern(pattern) > MOST_INSTRUCTIONS)
    throw new CelError('error parsing regexp: expression too large');
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

/** Whether a text matches a schema's pattern somewhere; undefined where to find that out would take too long. */
export function matchesPattern(text: string, pattern: string): boolean | undefined {
  const compiled = regex(pattern);
  return isTooLong(text, compiled) ? undefined : compiled.matcher(text).find();
}

function isTooLong(text: string, compiled: RE2JS): boolean {
  const instructions = compiled.programSize();
  return text.length * instructions > (instructions > LARGE ? MOST_STEPS_OF_LARGE : MOST_STEPS);
}

/** Searches a text. @throws BudgetExceeded before it begins what would take too long */
function matcherOf(text: string, pattern: string) {
  const compiled = regex(pattern);
  if (isTooLong(text, compiled)) throw new BudgetExceeded('operation cancelled: actual cost limit exceeded');
  return compiled.matcher(text);
}

function findAll(text: string, pattern: string, most: number): ValueList {
  const matcher = matcherOf(text, pattern);
  const found: string[] = [];
  const began = performance.now();
  while (found.length !== most && matcher.find()) {
    found.push(matcher.group() ?? '');
    if (found.length % 16 === 0 && performance.now() - began > MOST_SEARCH_MS)
      throw new BudgetExceeded('operation interrupted: the evaluation took too long');
  }
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
