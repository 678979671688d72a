import { existsSync, globSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { buildPackage } from '../../tools/build.ts';

export const root = join(import.meta.dirname, '../..');

/** The entry of what gets published, `dist/umiak.js`, built anew if a source is newer. `UMIAK_BENCH_MAIN` measures another entry. */
export async function openBundle(): Promise<string> {
  const other = process.env.UMIAK_BENCH_MAIN;
  if (other) {
    console.log(`measuring ${other}, not the bundle`);
    return join(root, other);
  }
  const entry = join(root, 'dist/umiak.js');
  if (!existsSync(entry) || newestSourceMs() > statSync(entry).mtimeMs) await buildPackage(root);
  return entry;
}

function newestSourceMs(): number {
  const sources = globSync(['package.json', 'tools/build.ts', 'src', 'src/**'], { cwd: root });
  return Math.max(...sources.map(file => statSync(join(root, file)).mtimeMs));
}
