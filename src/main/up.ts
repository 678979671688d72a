import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { UmiakError } from '#base/index.ts';
import { type Config, pathsOf, type Role } from './config.ts';
import { listenTo, type ProcessState, whenState } from './control-socket.ts';
import { lastLines, startRole } from './processes.ts';

export interface UpResult {
  server: ProcessState;
  agent: ProcessState;
  /** Both were there already. */
  wasUp: boolean;
}

const READY_TIMEOUT_MS = 90_000;

/** Starts what of the instance does not run, and returns when the node is Ready. */
export async function up(config: Config, say: (line: string) => void = () => {}): Promise<UpResult> {
  if (process.getuid?.() !== 0)
    throw new UmiakError('Forbidden', 'umiak up needs root: it makes namespaces, mounts and firewall rules', {
      hint: 'Try again with sudo.',
    });
  mkdirSync(config.runDir, { recursive: true, mode: 0o755 });
  const roles = ['server', 'agent'] as const;
  const present = await Promise.all(roles.map(role => stateOf(role, config)));
  const states = await Promise.all(
    roles.map((role, index) => {
      if (present[index]?.state === 'ready') return present[index];
      if (!present[index]) say(`starting the ${role} …`);
      return untilReady(role, config, present[index] ? undefined : startRole(role, config));
    }),
  );
  const [server, agent] = states as [ProcessState, ProcessState];
  return { server, agent, wasUp: present.every(state => state?.state === 'ready') };
}

/** What a role says of itself now; undefined if it does not run. */
export async function stateOf(role: Role, config: Pick<Config, 'dataDir' | 'runDir'>): Promise<ProcessState | undefined> {
  const { promise, resolve } = Promise.withResolvers<ProcessState | undefined>();
  const stop = new AbortController();
  const listening = await listenTo(pathsOf(config).control(role), resolve, stop.signal);
  if (!listening) return undefined;
  void listening.ended.then(() => resolve(undefined));
  const state = await promise;
  stop.abort();
  return state;
}

async function untilReady(role: Role, config: Config, child: ChildProcess | undefined): Promise<ProcessState> {
  const died = Promise.withResolvers<never>();
  child?.once('exit', (code, signal) => {
    died.reject(
      new UmiakError(
        'ServiceUnavailable',
        `the ${role} ended (${signal ?? `exit code ${code}`}) before it was ready; its last words:\n${lastLines(role, config)}`,
      ),
    );
  });
  const stop = new AbortController();
  try {
    return await Promise.race([
      whenState(pathsOf(config).control(role), { timeoutMs: READY_TIMEOUT_MS, signal: stop.signal }),
      died.promise,
    ]);
  } finally {
    died.promise.catch(() => {});
    child?.removeAllListeners('exit');
  }
}
