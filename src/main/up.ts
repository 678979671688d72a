import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { UmiakError } from '#base/index.ts';
import { type Config, pathsOf, type Role } from './config.ts';
import { type ProcessState, stateNow, whenState } from './control-socket.ts';
import { lastLines, startRole, startRoleHere } from './processes.ts';

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
  const present = await Promise.all(roles.map(role => stateNow(pathsOf(config).control(role))));
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
