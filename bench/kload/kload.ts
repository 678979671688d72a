/** The load generator for any Kubernetes API server, a Go program whose source lies beside the checkout. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../subject/bundle.ts';

const run = promisify(execFile);

/** An API server to measure: where it is, who we are to it, and its processes by name. */
export interface ApiTarget {
  url: string;
  cert: string;
  key: string;
  pids: Record<string, number>;
  /** Holds its data: what it commits must reach a disk for the figures to mean anything. */
  directory: string;
}

export interface Latencies {
  p50_ms: number;
  p99_ms: number;
}

/** What kload prints, as far as the benches read it. */
export interface KloadResult extends Latencies {
  errors: number;
  /** Requests a second. */
  rps: number;
  wall_s_median: number;
  bytes: number;
  put_sent_to_last_watcher: Latencies;
  /** Of a Deployment: when its last Pod object was there. */
  last_pod_s: number;
  /** Of a namespace: when it was gone. */
  gone_s: number;
  cpu_s: Record<string, number>;
  mem?: Record<string, { rss_kb: number; pss_kb: number }>;
  /** Part of the machine's CPU time that programs outside the test took. */
  other_share?: number;
}

/** The binary that `KLOAD` names, else one built from `../shared/tools/kload`. Where there is neither it says so and returns undefined. */
export async function openKload(): Promise<string | undefined> {
  if (process.env.KLOAD) return resolve(process.env.KLOAD);
  const source = join(root, '../shared/tools/kload');
  const binary = join(root, '.cache/kload');
  try {
    if (!existsSync(join(source, 'main.go'))) throw new Error('../shared/tools/kload is not beside this checkout');
    mkdirSync(join(root, '.cache'), { recursive: true });
    await run('go', ['build', '-o', binary, '.'], { cwd: source, env: { ...process.env, GOFLAGS: '-buildvcs=false' } });
    return binary;
  } catch (error) {
    console.error(`SKIPPED: the API cannot be measured without kload (KLOAD names its binary, or go builds it): ${String(error)}`);
    return undefined;
  }
}

/**
 * One run of kload, its figures printed as a line.
 * @throws when requests failed: a rate of refusals is no figure
 */
export async function runKload(
  kload: string,
  target: ApiTarget,
  test: string,
  options: Record<string, string | number>,
): Promise<KloadResult> {
  const pids = Object.entries(target.pids).map(([name, pid]) => `${name}=${pid}`);
  const args = ['--server', target.url, '--cert', target.cert, '--key', target.key, '--pids', pids.join(','), '--test', test];
  for (const [name, value] of Object.entries(options)) args.push(`--${name}`, String(value));
  const { stdout, stderr } = await run(kload, args, { maxBuffer: 16 << 20 });
  const result = JSON.parse(stdout) as KloadResult;
  if (result.errors > 0) throw new Error(`kload ${test}: ${result.errors} requests failed: ${stderr}`);
  if ((result.other_share ?? 0) > 0.15)
    console.log(`note: other programs took ${percent(result.other_share)} of the machine during ${test}`);
  return result;
}

function percent(part = 0): string {
  return `${Math.round(part * 100)} %`;
}
