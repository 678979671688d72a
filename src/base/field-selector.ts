import { UmiakError } from './errors.ts';

/** One term of a field selector: `status.phase=Running`, `spec.nodeName!=a`. */
export interface FieldRequirement {
  field: string;
  operator: '=' | '!=';
  value: string;
}

/** Reads `a=b,c!=d` (and `==`); `\\`, `\,` and `\=` stand for themselves in values. @throws `BadRequest` */
export function parseFieldSelector(text: string): FieldRequirement[] {
  return splitTerms(text)
    .filter(term => term !== '')
    .map(term => {
      const match = /^([^=!]+)(==|=|!=)(.*)$/s.exec(term);
      if (!match) throw new UmiakError('BadRequest', `invalid selector: '${term.slice(0, 200)}'; can't understand '${term.slice(0, 200)}'`);
      return { field: match[1]!.trim(), operator: match[2] === '!=' ? '!=' : '=', value: unescaped(match[3]!, term) };
    });
}

/** True when `read` gives what every requirement asks for. */
export function matchesFields(requirements: readonly FieldRequirement[], read: (field: string) => string): boolean {
  return requirements.every(({ field, operator, value }) => (read(field) === value) === (operator === '='));
}

/** Splits at commas that no backslash stands before. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === ',') {
      terms.push(text.slice(start, i));
      start = i + 1;
    }
  }
  terms.push(text.slice(start));
  return terms;
}

function unescaped(value: string, term: string): string {
  if (!value.includes('\\') && !value.includes('=')) return value;
  if (!/^(?:[^\\,=]|\\[\\,=])*$/s.test(value))
    throw new UmiakError('BadRequest', `invalid field selector: "${term.slice(0, 200)}" has an unescaped special character`);
  return value.replace(/\\([\\,=])/g, '$1');
}
