/** What the pages say of the repository, as far as a program can tell: files that are named, links, targets. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Paths in backquotes that look like files of ours: `src/store/store.ts`, `bench/run.ts`, `tools/setup.sh`. */
const NAMED_FILE = /`((?:src|tests|tools|bench|examples|docs)\/[\w./-]+\.[a-z]+)`/g;
const LINK = /\]\(([^)#\s]+)(?:#[^)\s]*)?\)/g;

/** Every page of the house, relative to `root`. */
export function pagesOf(root: string): string[] {
  return globSync(['*.md', 'docs/**/*.md'], { cwd: root }).sort();
}

/** Files that `page` names or links to and that are not there, as `page: file`. */
export function missingFiles(root: string, page: string): string[] {
  const text = readFileSync(join(root, page), 'utf8');
  const named = [...text.matchAll(NAMED_FILE)].map(([, path = '']) => path);
  const linked = [...text.matchAll(LINK)].flatMap(([, to = '']) => (/^[a-z]+:/.test(to) ? [] : [join(dirname(page), to)]));
  return [...new Set([...named, ...linked])].filter(path => !existsSync(join(root, path))).map(path => `${page}: ${path}`);
}

/** Promises of SPECIFICATION.md whose proof is neither a file nor a `—` with its reason. */
export function unprovedPromises(page: string): string[] {
  return page
    .split('\n')
    .filter(line => line.startsWith('| ') && !/^\| (promise|what) \|/.test(line))
    .filter(line => !/(`[\w./-]+\.(ts|sh)`|the suite|—).*\|$/.test(line.slice(line.indexOf(' | '))))
    .map(line => line.slice(2, line.indexOf(' | ')));
}
