import { stringify } from 'yaml';

/** Characters of JSON from which on a value is large: block style takes a hundred times as long as JSON does. */
const LARGE = 64 << 10;

/** A value as YAML, with a line end: in block style, or as JSON, which is YAML, when it is large. */
export function toYaml(value: unknown): string {
  const json = JSON.stringify(value);
  return json.length > LARGE ? `${json}\n` : stringify(value);
}

/** A value as one element of a list in block style. */
export function toYamlItem(value: unknown): string {
  const json = JSON.stringify(value);
  return json.length > LARGE ? `- ${json}\n` : stringify([value]);
}
