import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { UmiakError } from '#base/index.ts';
import { type Config, pathsOf, type Role } from './config.ts';
import { type ProcessState, stateNow, whenState } from './control-socket.ts';
import { endRole } from './end-role.ts';
import { lastLines, startRole, startRoleHere } from './processes.ts';
import { VERSION } from './version.ts';

export interface UpResult {
  server: ProcessState;
  agent: ProcessState;
  /** Both were there already. */
  wasUp: boolean;
  /** Those of another version, which this one took the place of. */
  replaced: Role[];
}

const READY_TIMEOUT_MS = 90_000;

/**
 * Starts what of the instance does not run, and returns when the node is Ready. What runs in another version than ours is told to stop and
 * started in ours; containers, the Services' rules and the data stay as they are.
 */
export async function up(config: Config, say: (line: string) => void = () => {}): Promise<UpResult> {
  if (process.getuid?.() !== 0)
    throw new UmiakError('Forbidden', 'umiak up needs root: it makes namespaces, mounts and firewall rules', {
      hint: 'Try again with sudo.',
    });
  mkdirSync(config.runDir, { recursive: true, mode: 0o755 });
  const roles = ['server', 'agent'] as const;
  const present = await Promise.all(roles.map(role => stateNow(pathsOf(config).control(role))));
  const replaced = roles.filter((_role, index) => present[index] && present[index].version !== VERSION);
  const states = await Promise.all(
    roles.map(async (role, index) => {
      const found = present[index];
      if (found && replaced.includes(role)) return await replace(role, found, config, say);
      if (found?.state === 'ready') return found;
      if (!found) say(`starting the ${role} …`);
      return await untilReady(role, config, found ? undefined : startRole(role, config));
    }),
  );
  const [server, agent] = states as [ProcessState, ProcessState];
  return { server, agent, wasUp: replaced.length === 0 && present.every(state => state?.state === 'ready'), replaced };
}

async function replace(role: Role, { version, pid }: ProcessState, config: Config, say: (line: string) => void): Promise<ProcessState> {
  say(`replacing the ${role} of version ${version} by ${VERSION} …`);
  await endRole({ role, config, isMeant: state => state.pid === pid, say });
  return await untilReady(role, config, startRole(role, config));
}

/** Runs both roles until the signal, or until one of them ends, which ends the other. For containers, service managers and debugging. */
export async function upInForeground(config: Config, signal: AbortSignal): Promise<void> {
  mkdirSync(config.runDir, { recursive: true, mode: 0o755 });
  const children = (['server', 'agent'] as const).map(role => ({ role, child: startRoleHere(role, config) }));
  const ends = children.map(async ({ role, child }) => {
    const [code] = (await once(child, 'exit')) as [number | null];
    return { role, code };
  });
  const endAll = () => children.forEach(({ child }) => void child.kill('SIGTERM'));
  signal.addEventListener('abort', endAll, { once: true });
  const first = await Promise.race(ends);
  endAll();
  await Promise.all(ends);
  if (!signal.aborted) throw new UmiakError('ServiceUnavailable', `the ${first.role} ended by itself (exit code ${first.code})`);
}

async function untilReady(role: Role, config: Config, child: ChildProcess | undefined): Promise<ProcessState> {
  const died = Promise.withResolvers<never>();
  child?.once('exit', (code, signal) => {
    // Its peer may have started another at the same moment, which was quicker: that one is waited for.
    if (isHeldByOther(pathsOf(config).lock(role), child.pid)) return;
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
    stop.abort();
    died.promise.catch(() => {});
    child?.removeAllListeners('exit');
  }
}

/** Whether a living process other than `pid` wrote itself into a lock file. */
function isHeldByOther(lock: string, pid: number | undefined): boolean {
  try {
    const holder = Number(readFileSync(lock, 'utf8'));
    return holder > 0 && holder !== pid && process.kill(holder, 0);
  } catch {
    return false; // no such file, no such process
  }
}
