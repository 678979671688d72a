import { checkDnsLabel, checkDnsSubdomain, isCidr, isIp, isIpv4, isIpv6 } from '#kinds/names.ts';

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;
const uuid = (version: string) => new RegExp(`^[0-9a-f]{8}-?[0-9a-f]{4}-?${version}[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$`, 'i');
const DATE_TIME = /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(\.\d+)?([Zz]|[+-]\d{2}:\d{2})?$/;
const DURATION =
  /^[-+]?(?:0|(?:\d+(?:\.\d*)?|\.\d+)\s*(?:ns|us|µs|μs|ms|s|m|h|d|w|(?:nano|micro|milli)s(?:ec(?:ond)?s?)?|sec(?:ond)?s?|min(?:ute)?s?|hours?|hrs?|days?|weeks?)\s*)+$/i;
const test = (shape: RegExp) => (text: string) => shape.test(text);

/** Formats that are checked, by name. What is not among them is a remark for readers. */
const FORMATS: Record<string, (text: string) => boolean> = {
  bsonobjectid: test(/^[0-9a-f]{24}$/i),
  uri: text => URL.canParse(text) || (text.startsWith('/') && URL.canParse(text, 'http://a')),
  email: text => text.length <= 320 && /^[^\s@<>(),;:\\"[\]]+@[^\s@<>(),;:\\"[\]]+$/.test(text),
  hostname: text => text.length <= 255 && checkDnsSubdomain(text.toLowerCase()).length === 0,
  ipv4: isIpv4,
  ipv6: isIpv6,
  ip: isIp,
  cidr: isCidr,
  mac: test(/^(?:[0-9a-f]{2}([:-]))(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}$|^(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}$/i),
  uuid: test(UUID),
  uuid3: test(uuid('3')),
  uuid4: test(uuid('4')),
  uuid5: test(uuid('5')),
  isbn: text => isIsbn10(text) || isIsbn13(text),
  isbn10: isIsbn10,
  isbn13: isIsbn13,
  creditcard: isCreditCard,
  ssn: test(/^\d{3}[- ]?\d{2}[- ]?\d{4}$/),
  hexcolor: test(/^#?([0-9a-f]{3}|[0-9a-f]{6})$/i),
  rgbcolor: isRgbColor,
  byte: test(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/),
  date: text => /^\d{4}-\d{2}-\d{2}$/.test(text) && isDay(text),
  'date-time': isDateTime,
  datetime: isDateTime,
  duration: text => text.length <= 100 && DURATION.test(text),
  'k8s-short-name': text => checkDnsLabel(text).length === 0,
  'k8s-long-name': text => checkDnsSubdomain(text).length === 0,
};

/** What tells whether a text has that format; undefined when nothing checks it. */
export function formatCheckOf(format: string): ((text: string) => boolean) | undefined {
  const name = Object.hasOwn(FORMATS, format) ? format : format.replaceAll('-', '');
  return Object.hasOwn(FORMATS, name) ? FORMATS[name] : undefined;
}

function isDay(text: string): boolean {
  const at = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(text);
}

function isDateTime(text: string): boolean {
  const match = DATE_TIME.exec(text);
  if (!match) return false;
  const [, year, month, day, hour, minute, second] = match;
  return isDay(`${year}-${month}-${day}`) && Number(hour) < 24 && Number(minute) < 60 && Number(second) < 61;
}

function isRgbColor(text: string): boolean {
  const match = /^rgb\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)$/.exec(text);
  return match?.slice(1).every(part => Number(part) <= 255) ?? false;
}

function isCreditCard(text: string): boolean {
  const digits = text.replaceAll(/[ -]/g, '');
  if (!/^\d{12,19}$/.test(digits)) return false;
  const sum = [...digits].reverse().reduce((total, digit, i) => {
    const value = i % 2 === 1 ? Number(digit) * 2 : Number(digit);
    return total + (value > 9 ? value - 9 : value);
  }, 0);
  return sum % 10 === 0;
}

function isIsbn10(text: string): boolean {
  const digits = text.replaceAll(/[ -]/g, '');
  if (!/^\d{9}[\dXx]$/.test(digits)) return false;
  const sum = [...digits].reduce((total, digit, i) => total + (10 - i) * (digit.toUpperCase() === 'X' ? 10 : Number(digit)), 0);
  return sum % 11 === 0;
}

function isIsbn13(text: string): boolean {
  const digits = text.replaceAll(/[ -]/g, '');
  if (!/^\d{13}$/.test(digits)) return false;
  return [...digits].reduce((total, digit, i) => total + Number(digit) * (i % 2 === 0 ? 1 : 3), 0) % 10 === 0;
}
