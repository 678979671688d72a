import { CelError } from '../errors.ts';
import { type CelList, CelMap, type CelValue, CelList as List, TypeValue, Uint } from '../values.ts';

const VERB = /%(?:\.(\d{1,3}))?([sdfeoxXb%])|%/g;

/** `'%s has %d'.format([…])`: the verbs s, d, f, e, x, X, o, b. @throws CelError */
export function formatText(text: string, args: CelList): string {
  let next = 0;
  return text.replace(VERB, (all, precision: string | undefined, verb: string | undefined) => {
    if (verb === undefined) throw new CelError(`could not parse formatting clause: unrecognized formatting clause "${all}"`);
    if (verb === '%') return '%';
    if (next >= args.length) throw new CelError(`index ${next} out of range`);
    return clause(args.at(next++), verb, precision === undefined ? 6 : Number(precision));
  });
}

function clause(value: CelValue, verb: string, precision: number): string {
  const number = value instanceof Uint ? value.value : value;
  switch (verb) {
    case 's':
      return textOf(value);
    case 'd':
      if (typeof number === 'bigint' || typeof number === 'number') return String(number);
      break;
    case 'f':
      if (typeof number === 'bigint' || typeof number === 'number') return Number(number).toFixed(Math.min(precision, 100));
      break;
    case 'e':
      if (typeof number === 'bigint' || typeof number === 'number')
        return Number(number)
          .toExponential(Math.min(precision, 100))
          .replace(/e([+-])(\d)$/, 'e$10$2');
      break;
    case 'b':
      if (typeof number === 'bigint') return number.toString(2);
      if (typeof number === 'boolean') return number ? '1' : '0';
      break;
    case 'o':
      if (typeof number === 'bigint') return number.toString(8);
      break;
    default: {
      const hex = hexOf(number);
      if (hex !== undefined) return verb === 'X' ? hex.toUpperCase() : hex;
    }
  }
  throw new CelError(`error during formatting: no formatting function for verb %${verb} and this type`);
}

function hexOf(value: CelValue): string | undefined {
  if (typeof value === 'bigint') return value.toString(16);
  if (typeof value === 'string') return Buffer.from(value).toString('hex');
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : undefined;
}

/** A value as `%s` shows it. */
function textOf(value: CelValue): string {
  if (value === null) return 'null';
  if (value instanceof List) return `[${[...value].map(textOf).join(', ')}]`;
  if (value instanceof CelMap)
    return `{${[...value.keys()]
      .map(key => [textOf(key), textOf(value.get(key) as CelValue)])
      .sort(([a = ''], [b = '']) => (a < b ? -1 : 1))
      .map(([key, of]) => `${key}: ${of}`)
      .join(', ')}}`;
  if (value instanceof Uint) return String(value.value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  return value instanceof TypeValue ? value.name : String(value);
}
