import type { DockerContainer } from '../rooms.ts';
import { renderTag } from './log-tag.ts';

/** What log options say is to stand beside each line: chosen labels and variables, and a tag. Pure. */
export function planLogAttributes(container: DockerContainer): Map<string, string> {
  const { config, hostConfig } = container.data;
  const options = hostConfig.LogConfig.Config;
  const env = new Map(config.Env.map(pair => [pair.split('=', 1)[0] ?? '', pair.slice(pair.indexOf('=') + 1)]));
  const found = new Map([
    ...chosen(Object.entries(config.Labels), options.labels, options['labels-regex']),
    ...chosen([...env], options.env, options['env-regex']),
  ]);
  if (options.tag) found.set('tag', renderTag(options.tag, container));
  return new Map([...found].sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** Docker's form of those before a line: `a=1,b=2 `. Pure. */
export function toLinePrefix(attributes: ReadonlyMap<string, string>): string {
  return `${[...attributes].map(([key, value]) => `${escapeWord(key)}=${escapeWord(value)}`).join(',')} `;
}

function chosen(all: [string, string][], names = '', pattern = ''): [string, string][] {
  const wanted = new Set(names.split(',').filter(Boolean));
  const regex = pattern ? compile(pattern) : undefined;
  return all.filter(([key]) => wanted.has(key) || regex?.test(key));
}

function compile(pattern: string): RegExp | undefined {
  try {
    return new RegExp(pattern);
  } catch {
    return undefined; // refused when it was made
  }
}

/** Like Go's `url.QueryEscape`. */
function escapeWord(word: string): string {
  return encodeURIComponent(word)
    .replace(/[!'()*]/g, char => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');
}
