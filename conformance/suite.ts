import { execFile, spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Result, readGinkgoReport } from './report.ts';
import { parseSpecs, type Spec, toFocus } from './specs.ts';

const run = promisify(execFile);
/** What the suite gets to clean up in after its time is over. */
const GRACE_SECONDS = 60;

export interface SuiteOptions {
  /** Kubernetes' `e2e.test`. */
  program: string;
  kubeconfig: string;
  kubectl: string;
  /** Logs and reports of the single specs go there. */
  directory: string;
  /** How long one spec may take. */
  limitSeconds: number;
  /** What the suite's process gets besides ours. */
  environment?: NodeJS.ProcessEnv;
  /** Ends what runs. */
  signal: AbortSignal;
}

/** Every conformance spec the program knows. */
export async function listSpecs(program: string): Promise<Spec[]> {
  return parseSpecs((await run(program, ['--list-conformance-tests'], { maxBuffer: 64 << 20 })).stdout);
}

/** The images that specs ask for, as the program names them. */
export async function listImages(program: string): Promise<string[]> {
  return (await run(program, ['--list-images'], { maxBuffer: 64 << 20 })).stdout.split('\n').filter(name => name !== '');
}

/**
 * Runs one spec in a process of its own, so that one that crashes or hangs costs only itself. Always returns a result; its log is
 * `<directory>/<number>.log`.
 */
export async function runSpec(spec: Spec, number: number, options: SuiteOptions): Promise<Result> {
  const { program, kubeconfig, kubectl, directory, limitSeconds, environment, signal } = options;
  mkdirSync(directory, { recursive: true });
  const report = join(directory, `${number}.json`);
  rmSync(report, { force: true });
  const args = [
    '--provider=skeleton',
    `--kubeconfig=${kubeconfig}`,
    `--kubectl-path=${kubectl}`,
    '--disable-log-dump',
    '--allowed-not-ready-nodes=-1',
    '--minStartupPods=-1',
    `--e2e-output-dir=${directory}`,
    `--ginkgo.focus=${toFocus(spec.name)}`,
    `--ginkgo.timeout=${limitSeconds}s`,
    `--ginkgo.json-report=${report}`,
    '--ginkgo.no-color',
    '--ginkgo.v',
  ];
  const began = performance.now();
  const how = await runLogged(
    program,
    args,
    join(directory, `${number}.log`),
    { ...process.env, ...environment },
    AbortSignal.any([signal, AbortSignal.timeout((limitSeconds + GRACE_SECONDS) * 1000)]),
  );
  const seconds = (performance.now() - began) / 1000;
  const result = existsSync(report) ? readGinkgoReport(spec, readFileSync(report, 'utf8')) : undefined;
  rmSync(report, { force: true });
  if (result) return { ...result, seconds };
  return {
    spec,
    state: how.startsWith('exit 0') ? 'not run' : 'failed',
    seconds,
    reason: `the suite ended with ${how} and no report of it`,
  };
}

/** Runs behind the cluster; killed with all it started when the signal says so. Returns how it ended. */
async function runLogged(program: string, args: string[], log: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<string> {
  const file = createWriteStream(log);
  const child = spawn('nice', ['-n', '10', program, ...args], { stdio: ['ignore', 'pipe', 'pipe'], detached: true, env });
  const end = () => child.pid !== undefined && process.kill(-child.pid, 'SIGKILL');
  if (signal.aborted) end();
  signal.addEventListener('abort', end, { once: true });
  child.stdout.pipe(file, { end: false });
  child.stderr.pipe(file, { end: false });
  try {
    return await new Promise<string>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve(signal ? `signal ${signal}` : `exit ${code}`));
    });
  } finally {
    signal.removeEventListener('abort', end);
    file.end();
  }
}
