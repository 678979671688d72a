/**
 * Bundles the program into `dist/`, which is what gets published: node refuses to strip types under node_modules, and one file loads
 * faster than hundreds. The entry is `dist/umiak.js`; each module that `new URL('./x.ts', import.meta.url)` names (workers) becomes an
 * entry of its own, each data file so named is copied. Everything lies flat in `dist/`, so that those URLs hold from any chunk.
 */
import { chmodSync, copyFileSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { build, type Plugin } from 'esbuild';

/** Native or loaded by their own paths: stay npm dependencies of the published package. */
const EXTERNAL = ['koffi'];

const SIBLING = /new URL\(\s*'(\.\.?\/[^']+)',\s*import\.meta\.url\s*,?\s*\)/g;

/** The name in `dist/` of a source file that is loaded by URL: `src/store/sqlite-worker.ts` → `store-sqlite-worker.js`. */
export function outputName(source: string): string {
  return source
    .replace(/^src\//, '')
    .replaceAll('/', '-')
    .replace(/\.ts$/, '.js');
}

/** Points a module's sibling URLs at their places in `dist/`, and tells which files they name (relative to the repository). */
export function flattenUrls(file: string, source: string): { source: string; siblings: string[] } {
  const siblings: string[] = [];
  const flat = source.replace(SIBLING, (whole, path: string) => {
    const sibling = relative('/', resolve('/', dirname(file), path));
    if (!sibling.startsWith('src/')) return whole;
    siblings.push(sibling);
    return `new URL('./${outputName(sibling)}', import.meta.url)`;
  });
  return { source: flat, siblings };
}

/** Sources that only tests load. */
const FOR_TESTS = /(\.test|-suite|\/testing|\/test-[^/]+)\.ts$/;

function flatUrls(root: string): Plugin {
  return {
    name: 'flat-urls',
    setup({ onLoad }) {
      onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => ({
        loader: 'ts',
        contents: flattenUrls(relative(root, path), readFileSync(path, 'utf8')).source,
      }));
    },
  };
}

/** Builds `dist/` (or another directory) anew; the old one serves until the new one is whole. */
export async function buildPackage(root: string, dist = join(root, 'dist')): Promise<void> {
  const sources = globSync('src/**/*.ts', { cwd: root }).filter(file => !FOR_TESTS.test(file));
  const siblings = new Set(sources.flatMap(file => flattenUrls(file, readFileSync(join(root, file), 'utf8')).siblings));
  const workers = [...siblings].filter(file => file.endsWith('.ts'));
  const next = `${dist}.new`;
  rmSync(next, { recursive: true, force: true });
  mkdirSync(next);
  await build({
    absWorkingDir: root,
    entryPoints: [
      { in: 'src/main/umiak.ts', out: 'umiak' },
      ...workers.map(file => ({ in: file, out: outputName(file).replace(/\.js$/, '') })),
    ],
    outdir: next,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node26',
    external: EXTERNAL,
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'external',
    logLevel: 'warning',
    // CommonJS packages inside the bundle ask for `require`.
    banner: { js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);" },
    plugins: [flatUrls(root)],
  });
  for (const file of siblings) if (!file.endsWith('.ts')) copyFileSync(join(root, file), join(next, outputName(file)));
  writeFileSync(join(next, 'package.json'), `${JSON.stringify(publishedManifest(root), null, 2)}\n`);
  for (const file of ['LICENSE', 'README.md']) copyFileSync(join(root, file), join(next, file));
  const entry = join(next, 'umiak.js');
  writeFileSync(entry, `#!/usr/bin/env node\n${readFileSync(entry, 'utf8')}`);
  chmodSync(entry, 0o755);
  rmSync(dist, { recursive: true, force: true });
  renameSync(next, dist);
}

function publishedManifest(root: string): Record<string, unknown> {
  const { name, version, description, license, engines, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const kept = Object.entries(dependencies).filter(([dependency]) => EXTERNAL.includes(dependency));
  return {
    name,
    version,
    description,
    license,
    type: 'module',
    bin: { umiak: 'umiak.js', 'umiak-cni': 'umiak.js' },
    engines,
    dependencies: Object.fromEntries(kept),
  };
}

if (import.meta.main) await buildPackage(join(import.meta.dirname, '..'));
