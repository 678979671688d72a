import type { DockerContainer } from '../rooms.ts';
import { renderTag } from './log-tag.ts';

/** Whether a text fits an expression; undefined where that would take too long. */
type Fits = (text: string, pattern: string) => boolean | undefined;

/** What log options say is to stand beside each line. Expressions are RE2's: a client's own could hold everybody up. */
export async function findLogAttributes(container: DockerContainer): Promise<Map<string, string>> {
  const { 'labels-regex': labels, 'env-regex': env } = container.data.hostConfig.LogConfig.Config;
  return planLogAttributes(container, labels || env ? (await import('#cel/libraries/regex.ts')).matchesPattern : undefined);
}

/** Chosen labels and variables, and a tag. Pure. */
export function planLogAttributes(container: DockerContainer, fits: Fits = () => false): Map<string, string> {
  const { config, hostConfig } = container.data;
  const options = hostConfig.LogConfig.Config;
  const env = new Map(config.Env.map(pair => [pair.split('=', 1)[0] ?? '', pair.slice(pair.indexOf('=') + 1)]));
  const found = new Map([
    ...chosen(Object.entries(config.Labels), options.labels, guard(fits, options['labels-regex'])),
    ...chosen([...env], options.env, guard(fits, options['env-regex'])),
  ]);
  if (options.tag) found.set('tag', renderTag(options.tag, container));
  return new Map([...found].sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** Docker's form of those before a line: `a=1,b=2 `. Pure. */
export function toLinePrefix(attributes: ReadonlyMap<string, string>): string {
  return `${[...attributes].map(([key, value]) => `${escapeWord(key)}=${escapeWord(value)}`).join(',')} `;
}

function chosen(all: [string, string][], names = '', fits: (key: string) => boolean): [string, string][] {
  const wanted = new Set(names.split(',').filter(Boolean));
  return all.filter(([key]) => wanted.has(key) || fits(key));
}

/** Nothing fits what is no expression. */
function guard(fits: Fits, pattern = ''): (key: string) => boolean {
  return key => {
    try {
      return pattern !== '' && fits(key, pattern) === true;
    } catch {
      return false;
    }
  };
}

/** Like Go's `url.QueryEscape`. */
function escapeWord(word: string): string {
  return encodeURIComponent(word)
    .replace(/[!'()*]/g, char => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');
}
