import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, type Log, messageOf } from '#base/index.ts';
import type { Finding, FindingState } from '#engine/doctor/index.ts';
import { type Config, toEnvironment } from './config.ts';

/** So long after its start the agent has better things to do. */
const PATIENCE_MS = 5_000;
const TIMEOUT_MS = 60_000;
const MAX_BYTES = 1 << 20;

export interface StartFindingsOptions {
  config: Config;
  bootId: string;
  /** What the doctor says: from now on, or again. */
  tell: (findings: readonly Finding[]) => void;
  /** Asks the doctor; default: `umiak doctor` in a process of its own, so that none of it stays in the agent. */
  examine?: (signal: AbortSignal) => Promise<Finding[]>;
  clock: Clock;
  log: Log;
}

interface Kept {
  bootId: string;
  findings: Finding[];
}

/**
 * What `umiak doctor` finds on this machine, told to the agent that starts on it: what an earlier agent of this boot found at once, and what is so
 * now a few seconds later. A start waits for none of it.
 */
export class StartFindings implements AsyncDisposable {
  readonly #options: StartFindingsOptions;
  readonly #file: string;
  readonly #abort = new AbortController();
  readonly #timer: Disposable;
  #looking: Promise<void> = Promise.resolve();

  constructor(options: StartFindingsOptions) {
    this.#options = options;
    this.#file = join(options.config.runDir, 'doctor.json');
    const kept = this.#read();
    if (kept?.bootId === options.bootId) options.tell(kept.findings);
    this.#timer = options.clock.after(PATIENCE_MS, () => {
      this.#looking = this.#look();
    });
  }

  async #look(): Promise<void> {
    const { config, bootId, tell, log, examine = signal => askDoctor(config, signal) } = this.#options;
    try {
      const findings = await examine(this.#abort.signal);
      writeFileSync(this.#file, JSON.stringify({ bootId, findings } satisfies Kept), { mode: 0o644 });
      tell(findings);
    } catch (error) {
      if (!this.#abort.signal.aborted) log.warn('the machine could not be examined', { error: messageOf(error) });
    }
  }

  /** Undefined where nobody looked, or what he wrote was cut off. */
  #read(): Kept | undefined {
    try {
      return JSON.parse(readFileSync(this.#file, 'utf8')) as Kept;
    } catch {
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer[Symbol.dispose]();
    this.#abort.abort();
    await this.#looking;
  }
}

/** How many findings there are of each state. Pure. */
export function countFindings(findings: readonly Finding[]): Record<FindingState, number> {
  const counts = { ok: 0, fallsBack: 0, missing: 0 };
  for (const { state } of findings) counts[state]++;
  return counts;
}

/** Its exit code says whether something is missing; what counts is what it prints. */
function askDoctor(config: Config, signal: AbortSignal): Promise<Finding[]> {
  const [entry = ''] = process.argv.slice(1);
  const flags = process.execArgv.filter(flag => !flag.startsWith('--max-'));
  const { promise, resolve, reject } = Promise.withResolvers<Finding[]>();
  execFile(
    process.execPath,
    [...flags, entry, 'doctor', '-o', 'json'],
    {
      env: { ...process.env, ...toEnvironment(config) },
      cwd: '/',
      signal,
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
      maxBuffer: MAX_BYTES,
    },
    (error, stdout) => {
      try {
        resolve((JSON.parse(stdout) as { findings: Finding[] }).findings);
      } catch (unreadable) {
        reject(error ?? unreadable);
      }
    },
  );
  return promise;
}
