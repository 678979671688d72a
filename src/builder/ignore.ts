import { posix } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { Pattern } from './pattern.ts';

const MAX_PATTERNS = 10_000;

/** The rules of a `.dockerignore`, in order: the last one that fits a path, or a directory above it, decides. */
export class IgnoreRules {
  readonly #rules: { pattern: Pattern; excludes: boolean }[];

  private constructor(rules: { pattern: Pattern; excludes: boolean }[]) {
    this.#rules = rules;
  }

  /** Reads the file: `#` comments, blank lines, `!` exceptions. @throws Invalid for a malformed pattern */
  static parse(text: string): IgnoreRules {
    const rules: { pattern: Pattern; excludes: boolean }[] = [];
    for (const raw of text.replace(/^\uFEFF/, '').split('\n')) {
      if (raw.startsWith('#')) continue;
      const line = raw.trim();
      if (line === '') continue;
      const excludes = !line.startsWith('!');
      const named = excludes ? line : line.slice(1).trim();
      if (named === '') throw new UmiakError('Invalid', 'failed to parse .dockerignore: illegal exclusion pattern: "!"');
      const clean = posix
        .normalize(named)
        .replace(/^\/+(?=.)/, '')
        .replace(/(?<=.)\/$/, '');
      rules.push({ pattern: Pattern.ofIgnore(clean), excludes });
      if (rules.length > MAX_PATTERNS) throw new UmiakError('Invalid', `.dockerignore has more than ${MAX_PATTERNS} patterns`);
    }
    return new IgnoreRules(rules);
  }

  /** Whether a path, relative to the context, is left out. */
  excludes(path: string): boolean {
    const components = path.split('/');
    const places = components.map((_, i) => components.slice(0, i + 1).join('/'));
    let isExcluded = false;
    for (const { pattern, excludes } of this.#rules)
      if (excludes !== isExcluded && places.some(place => pattern.matches(place))) isExcluded = excludes;
    return isExcluded;
  }
}
