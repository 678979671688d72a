/** How long the bundle takes to load: `umiak version` from process start to exit, beside Node alone. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBundle } from './subject/bundle.ts';
import { quantile, report } from './table.ts';

const ROUNDS = 40;

const entry = await openBundle();
const cache = mkdtempSync(join(tmpdir(), 'umiak-bench-load-'));
try {
  const bare = measure(['-e', '0'], {});
  const cold = measure([entry, 'version'], {});
  const cached = measure([entry, 'version'], { NODE_COMPILE_CACHE: cache });
  report({
    what: 'load of the bundle: `umiak version` as installed, p50',
    unit: 'ms',
    ours: cold,
    better: 'less',
    target: 100,
    peer: node(bare),
  });
  report({
    what: 'the same with a compile cache, as `bin/umiak` has',
    unit: 'ms',
    ours: cached,
    better: 'less',
    target: 100,
    peer: node(bare),
  });
} finally {
  rmSync(cache, { recursive: true, force: true });
}

function measure(args: string[], more: Record<string, string>): number {
  const { NODE_COMPILE_CACHE: _, ...env } = process.env;
  const times = Array.from({ length: ROUNDS }, () => {
    const began = performance.now();
    execFileSync(process.execPath, args, { env: { ...env, ...more } });
    return performance.now() - began;
  });
  // The first ones fill the caches.
  return quantile(times.slice(3), 0.5);
}

function node(value: number) {
  return { name: 'node alone', value, measured: true };
}
