/**
 * The floors of the house as data, and the check that imports only point down (ARCHITECTURE.md, "Rooms and floors").
 *
 * Read are static, type-only and dynamic imports, re-exports and `new URL('./x.ts', import.meta.url)` (workers) of every file under
 * `src/`. Tests beside the code and what only they use (`…suite.ts`, `…testing.ts`, `…fixture.ts`, `test-….ts`) may look anywhere: nobody
 * ships them, and no product file may import them.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { isBuiltin, stripTypeScriptTypes } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { type AnyNode, parse } from 'acorn';

/** Lowest first. A domain may import from its own folder and from lower floors, never sideways. */
export const FLOORS: readonly (readonly string[])[] = [
  ['base'],
  ['linux', 'wire', 'pki', 'audit'],
  ['store', 'kinds', 'cel'],
  ['images', 'client', 'net'],
  ['engine'],
  ['builder', 'registry'],
  ['apiserver', 'controllers', 'scheduler', 'node', 'network', 'docker', 'cri'],
  ['mesh', 'security', 'serverless', 'fleet', 'edge', 'insight'],
  ['cli', 'console'],
  ['main'],
];

const FOR_TESTS = /(\.test|suite|testing|fixture|\/test-[^/]*)\.ts$/;

const FLOOR_OF = new Map(FLOORS.flatMap((domains, floor) => domains.map(domain => [domain, floor] as const)));

/** One import as written, with its line. */
export interface Import {
  specifier: string;
  line: number;
}

/** One broken rule, ready to print as `file:line: message`. */
export interface Finding {
  file: string;
  line: number;
  message: string;
}

/** What a check needs to know of the world besides the sources. */
export interface LayerRules {
  /** npm packages that the product may import. */
  packages: readonly string[];
}

/** All imports of one TypeScript source, in the order of their lines. @throws SyntaxError with the file's name when it does not parse. */
export function readImports(source: string, file = 'source.ts'): Import[] {
  const found: Import[] = [];
  const add = (specifier: unknown, offset: number) => {
    if (typeof specifier === 'string') found.push({ specifier, line: source.slice(0, offset).split('\n').length });
  };
  visit(parseKeepingTypeImports(source, file), node => {
    if (node.type === 'ImportDeclaration' || node.type === 'ExportAllDeclaration' || node.type === 'ExportNamedDeclaration')
      add(node.source?.value, node.start);
    else if (node.type === 'ImportExpression' && node.source.type === 'Literal') add(node.source.value, node.start);
    else if (node.type === 'NewExpression' && node.callee.type === 'Identifier' && node.callee.name === 'URL') {
      const [path, base] = node.arguments;
      if (path?.type === 'Literal' && String(path.value).endsWith('.ts') && base?.type === 'MemberExpression')
        add(String(path.value).replace(/^(?=[^./#])/, './'), node.start);
    }
  });
  return found.sort((a, b) => a.line - b.line);
}

/** Stripping would blank `import type … from` and `typeof import('…')`: turn the first into plain imports of the same length. */
function parseKeepingTypeImports(source: string, file: string): AnyNode {
  const plain = source
    .replace(/^(import) type (?=[\w$]+ from|\{|\*)/gm, '$1      ')
    .replace(/^(export) type (?=\{[^}]*\}\s*from|\*)/gm, '$1      ');
  try {
    return parse(stripTypeScriptTypes(plain), { ecmaVersion: 'latest', sourceType: 'module', allowHashBang: true });
  } catch (cause) {
    throw new SyntaxError(`${file}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

function visit(node: AnyNode, act: (node: AnyNode) => void): void {
  act(node);
  for (const child of Object.values(node))
    for (const item of Array.isArray(child) ? child : [child])
      if (item !== null && typeof item === 'object' && typeof item.type === 'string') visit(item, act);
}

/** Checks one source file; `file` is relative to the repository (`src/store/store.ts`). */
export function checkFile(file: string, source: string, rules: LayerRules): Finding[] {
  const [, domain = '', ...rest] = file.split('/');
  if (rest.length === 0) return [{ file, line: 1, message: 'stands outside every domain: move it into a folder of the floor table' }];
  if (!FLOOR_OF.has(domain)) return [{ file, line: 1, message: `'${domain}' is no domain of the floor table` }];
  if (FOR_TESTS.test(file)) return [];
  return readImports(source, file).flatMap(({ specifier, line }) => {
    const message = judge(file, domain, specifier, rules);
    return message ? [{ file, line, message }] : [];
  });
}

function judge(file: string, domain: string, specifier: string, rules: LayerRules): string | undefined {
  if (isBuiltin(specifier)) return specifier.startsWith('node:') ? undefined : `write 'node:${specifier}'`;
  const inside = specifier.startsWith('.') ? resolve('/', dirname(file), specifier).slice(1) : specifier.replace(/^#/, 'src/');
  if (!specifier.startsWith('.') && !specifier.startsWith('#')) {
    const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
    return rules.packages.includes(name) ? undefined : `'${name}' is no runtime dependency of package.json`;
  }
  const [top, target = ''] = inside.split('/');
  if (specifier.endsWith('.json') && top !== 'src') return undefined;
  if (top !== 'src' || target === 'tests') return `'${specifier}' leaves src/`;
  if (FOR_TESTS.test(inside)) return `'${specifier}' is for tests only`;
  if (target === domain) return undefined;
  if (specifier.startsWith('.')) return `reaches into '${target}' by a relative path: write '#${inside.slice('src/'.length)}'`;
  const [from, to] = [FLOOR_OF.get(domain) ?? 0, FLOOR_OF.get(target)];
  if (to === undefined) return `'${target}' is no domain of the floor table`;
  if (to === from) return `imports sideways: '${domain}' and '${target}' share floor ${from}`;
  return to > from ? `imports upwards: '${domain}' is on floor ${from}, '${target}' on ${to}` : undefined;
}

/** Checks every source under `root`/src. */
export function checkLayers(root: string): Finding[] {
  const { dependencies = {} } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { dependencies?: Record<string, string> };
  const rules = { packages: Object.keys(dependencies) };
  if (!existsSync(join(root, 'src'))) return [];
  return globSync('src/**/*.ts', { cwd: root })
    .sort()
    .flatMap(file => checkFile(file, readFileSync(join(root, file), 'utf8'), rules));
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..');
  const findings = checkLayers(root);
  for (const { file, line, message } of findings) console.error(`${relative(process.cwd(), join(root, file))}:${line}: ${message}`);
  process.exitCode = findings.length > 0 ? 1 : 0;
}
