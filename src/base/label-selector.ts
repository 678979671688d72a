import { UmiakError } from './errors.ts';

/** One term of a label selector's string form. `values` is empty for `exists` and `absent`. */
export interface LabelRequirement {
  key: string;
  operator: 'in' | 'notin' | 'exists' | 'absent' | 'gt' | 'lt';
  values: string[];
}

const KEY = /^(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const VALUE = /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

/** Reads `a=b,c!=d,e in (f,g),h,!i` (and `=`, `==`, `notin`, `>`, `<`). @throws `BadRequest` */
export function parseLabelSelector(text: string): LabelRequirement[] {
  const requirements: LabelRequirement[] = [];
  for (const term of splitTerms(text)) requirements.push(parseTerm(term, text));
  return requirements;
}

/** `metav1.LabelSelector`, the form that objects hold. */
export interface LabelSelectorObject {
  matchLabels?: Record<string, string> | undefined;
  matchExpressions?: readonly { key: string; operator: string; values?: string[] | undefined }[] | undefined;
}

const OPERATORS = new Map<string, LabelRequirement['operator']>([
  ['In', 'in'],
  ['NotIn', 'notin'],
  ['Exists', 'exists'],
  ['DoesNotExist', 'absent'],
]);

/** The requirements of a LabelSelector object. An absent selector selects nothing, an empty one everything; an unknown operator, which validation refuses, nothing. */
export function requirementsOf(selector: LabelSelectorObject | undefined): LabelRequirement[] {
  if (!selector) return [{ key: '', operator: 'in', values: [] }];
  const equal = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => ({ key, operator: 'in' as const, values: [value] }));
  const expressed = (selector.matchExpressions ?? []).map(({ key, operator, values = [] }): LabelRequirement => {
    const known = OPERATORS.get(operator);
    return known ? { key, operator: known, values } : { key, operator: 'in', values: [] };
  });
  return [...equal, ...expressed];
}

/** True when `labels` meet every requirement; a missing label meets `notin` and `absent`. */
export function matchesLabels(requirements: readonly LabelRequirement[], labels: Record<string, string> | undefined): boolean {
  for (const { key, operator, values } of requirements) {
    const value = labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined;
    if (!meets(operator, values, value)) return false;
  }
  return true;
}

/** True when `labels` meet a `metav1.LabelSelector`. Nothing matches an absent selector. */
export function selectorMatches(selector: LabelSelectorObject | undefined, labels: Record<string, string> | undefined): boolean {
  return selector !== undefined && matchesLabels(requirementsOf(selector), labels);
}

/** The string form, sorted by key as Kubernetes prints it: `app=web,tier in (a,b),!old`. */
export function formatLabelSelector(requirements: readonly LabelRequirement[]): string {
  return [...requirements]
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(formatRequirement)
    .join(',');
}

function formatRequirement({ key, operator, values }: LabelRequirement): string {
  if (operator === 'exists') return key;
  if (operator === 'absent') return `!${key}`;
  if (operator === 'gt') return `${key}>${values[0]}`;
  if (operator === 'lt') return `${key}<${values[0]}`;
  if (values.length === 1) return `${key}${operator === 'in' ? '=' : '!='}${values[0]}`;
  return `${key} ${operator} (${[...values].sort().join(',')})`;
}

function meets(operator: LabelRequirement['operator'], values: string[], value: string | undefined): boolean {
  switch (operator) {
    case 'in':
      return value !== undefined && values.includes(value);
    case 'notin':
      return value === undefined || !values.includes(value);
    case 'exists':
      return value !== undefined;
    case 'absent':
      return value === undefined;
    case 'gt':
      return value !== undefined && /^-?\d+$/.test(value) && BigInt(value) > BigInt(values[0]!);
    case 'lt':
      return value !== undefined && /^-?\d+$/.test(value) && BigInt(value) < BigInt(values[0]!);
  }
}

/** Splits at the commas that stand outside parentheses. */
function splitTerms(text: string): string[] {
  if (text.trim() === '') return [];
  const terms: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '(') depth++;
    else if (char === ')') depth--;
    else if (char === ',' && depth === 0) {
      terms.push(text.slice(start, i));
      start = i + 1;
    }
    if (depth < 0 || depth > 1) throw unparsable(text, 'parentheses do not pair');
  }
  if (depth !== 0) throw unparsable(text, 'parentheses do not pair');
  terms.push(text.slice(start));
  return terms;
}

function parseTerm(term: string, text: string): LabelRequirement {
  const trimmed = term.trim();
  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(trimmed);
  if (set)
    return checked({ key: set[1]!, operator: set[2] as 'in' | 'notin', values: set[3]!.split(',').map(value => value.trim()) }, text);
  const compared = /^([^\s=!<>]+)\s*(==|=|!=|>|<)\s*([^\s=!<>]*)$/.exec(trimmed);
  if (compared) {
    const operator = ({ '=': 'in', '==': 'in', '!=': 'notin', '>': 'gt', '<': 'lt' } as const)[compared[2] as '='];
    return checked({ key: compared[1]!, operator, values: [compared[3]!] }, text);
  }
  const absent = /^!\s*(\S+)$/.exec(trimmed);
  if (absent) return checked({ key: absent[1]!, operator: 'absent', values: [] }, text);
  return checked({ key: trimmed, operator: 'exists', values: [] }, text);
}

function checked(requirement: LabelRequirement, text: string): LabelRequirement {
  if (!KEY.test(requirement.key)) throw unparsable(text, `"${requirement.key}" is no label key`);
  for (const value of requirement.values) {
    if (requirement.operator === 'gt' || requirement.operator === 'lt') {
      if (!/^-?\d{1,18}$/.test(value)) throw unparsable(text, `"${value}" is no integer`);
    } else if (!VALUE.test(value)) throw unparsable(text, `"${value}" is no label value`);
  }
  return requirement;
}

function unparsable(text: string, why: string): UmiakError {
  return new UmiakError('BadRequest', `unable to parse requirement: ${why} (in label selector "${text.slice(0, 200)}")`);
}
