import { isObject } from '#base/json-object.ts';

/** One step of a path: a field, an element, all of them, or those of which a condition holds. */
type Step =
  | { type: 'field'; name: string }
  | { type: 'index'; index: number }
  | { type: 'all' }
  | { type: 'filter'; path: Step[]; operator: string; value: unknown };

/** A compiled path: all that it finds in a value. */
export type JsonPath = (value: unknown) => unknown[];

/**
 * Compiles a JSONPath as kubectl and printer columns write it: `.a.b`, `['a']`, `[0]`, `[-1]`, `[*]`, `[?(@.type=="Ready")]`.
 * @throws TypeError that says what can't be understood
 */
export function compileJsonPath(text: string): JsonPath {
  const steps = parse(text);
  return value => walk([value], steps);
}

/** The names of a path that only goes through fields (`.spec.replicas`), or undefined. */
export function fieldNamesOf(text: string): string[] | undefined {
  let steps: Step[];
  try {
    steps = parse(text);
  } catch {
    return undefined;
  }
  const names = steps.map(step => (step.type === 'field' ? step.name : ''));
  return names.length > 0 && names.every(name => name !== '') ? names : undefined;
}

/** What stands at a path of fields. */
export function valueAt(value: unknown, names: readonly string[]): unknown {
  let found = value;
  for (const name of names) found = isObject(found) && Object.hasOwn(found, name) ? found[name] : undefined;
  return found;
}

const FIELD = /\.((?:[^.[\]\s\\(){}"']|\\.)+)/y;
const QUOTED = /\[\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*\]/y;
const INDEX = /\[\s*(-?\d{1,9})\s*\]/y;
const ALL = /\[\s*\*\s*\]|\.\*/y;
const FILTER = /\[\?\(\s*@((?:[^=!<>)]|\\.)*?)\s*(?:(==|!=|<=|>=|<|>)\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[-\w.]+)\s*)?\)\]/y;

function parse(text: string): Step[] {
  const steps: Step[] = [];
  let at = text.startsWith('$') ? 1 : 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match) at = pattern.lastIndex;
    return match;
  };
  if (text === '.') return steps;
  while (at < text.length) {
    const known = steps.length;
    for (const { pattern, toStep } of READERS) {
      const match = take(pattern);
      if (!match) continue;
      steps.push(toStep(match));
      break;
    }
    if (steps.length === known) throw new TypeError(`unrecognized JSONPath ${JSON.stringify(text.slice(0, 200))} at ${at}`);
  }
  return steps;
}

const unescaped = (text: string) => text.replaceAll(/\\(.)/g, '$1');

/** How each kind of step is written, in the order they are tried. */
const READERS: { pattern: RegExp; toStep: (match: RegExpExecArray) => Step }[] = [
  { pattern: ALL, toStep: () => ({ type: 'all' }) },
  { pattern: FIELD, toStep: match => ({ type: 'field', name: unescaped(match[1]!) }) },
  { pattern: QUOTED, toStep: match => ({ type: 'field', name: unescaped((match[1] ?? match[2])!) }) },
  { pattern: INDEX, toStep: match => ({ type: 'index', index: Number(match[1]) }) },
  {
    pattern: FILTER,
    toStep: match => ({ type: 'filter', path: parse(match[1]!.trim()), operator: match[2] ?? '', value: literal(match[3]) }),
  },
];

function literal(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  if (text[0] === "'" || text[0] === '"') return unescaped(text.slice(1, -1));
  if (text === 'true' || text === 'false') return text === 'true';
  return Number.isNaN(Number(text)) ? text : Number(text);
}

function walk(values: unknown[], steps: Step[]): unknown[] {
  let found = values;
  for (const step of steps) found = found.flatMap(value => follow(value, step));
  return found;
}

function follow(value: unknown, step: Step): unknown[] {
  switch (step.type) {
    case 'field':
      return isObject(value) && Object.hasOwn(value, step.name) ? [value[step.name]] : [];
    case 'index': {
      const element = Array.isArray(value) ? value.at(step.index) : undefined;
      return element === undefined ? [] : [element];
    }
    case 'all':
      return Array.isArray(value) ? value : isObject(value) ? Object.values(value) : [];
    case 'filter':
      return (Array.isArray(value) ? value : []).filter(element => holds(walk([element], step.path), step.operator, step.value));
  }
}

function holds(found: unknown[], operator: string, value: unknown): boolean {
  if (operator === '') return found.length > 0;
  const first = found[0];
  if (operator === '==') return found.length > 0 && first === value;
  if (operator === '!=') return found.length > 0 && first !== value;
  if (typeof first !== typeof value || (typeof first !== 'number' && typeof first !== 'string')) return false;
  const against = value as typeof first;
  if (operator === '<') return first < against;
  if (operator === '>') return first > against;
  return operator === '<=' ? first <= against : first >= against;
}
