import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Config, pathsOf, type Role, toEnvironment } from './config.ts';

/** Set for processes that `umiak up` started: they look after each other. */
export const LOOKS_AFTER_PEER = 'UMIAK_LOOKS_AFTER_PEER';

/** Set for a process that its peer started anew: it has no business where the peer was stopped meanwhile. */
export const STARTED_BY_PEER = 'UMIAK_STARTED_BY_PEER';

const YOUNG_SPACE = '--max-semi-space-size=';
/** Room for young objects, in MB, of an agent: with less than node's 16 it keeps 10 MB less when idle. A server pays too much for that under load. */
const AGENT_YOUNG_SPACE_MB = 2;

/** What a role's process is called with. */
function programOf(role: Role): string[] {
  const [entry = ''] = process.argv.slice(1);
  const flags = process.execArgv.filter(flag => !flag.startsWith(YOUNG_SPACE));
  return [...flags, ...(role === 'agent' ? [`${YOUNG_SPACE}${AGENT_YOUNG_SPACE_MB}`] : []), entry, role];
}

/** Starts a role in the background, in a session of its own, its log in `<dataDir>/logs/<role>.log`. */
export function startRole(role: Role, config: Config, { byPeer = false } = {}): ChildProcess {
  const { logs } = pathsOf(config);
  mkdirSync(logs, { recursive: true, mode: 0o755 });
  const log = openSync(logFile(role, config), 'a', 0o640);
  try {
    const child = spawn(process.execPath, programOf(role), {
      detached: true,
      cwd: '/',
      stdio: ['ignore', log, log],
      env: { ...process.env, ...toEnvironment(config), [LOOKS_AFTER_PEER]: '1', [STARTED_BY_PEER]: byPeer ? '1' : '' },
    });
    child.unref();
    return child;
  } finally {
    closeSync(log);
  }
}

/** Starts a role that writes where we write and ends with us. */
export function startRoleHere(role: Role, config: Config): ChildProcess {
  return spawn(process.execPath, programOf(role), {
    stdio: 'inherit',
    env: { ...process.env, ...toEnvironment(config) },
  });
}

function logFile(role: Role, config: Config): string {
  return join(pathsOf(config).logs, `${role}.log`);
}

/** The last lines that a role wrote, for a message about its end. */
export function lastLines(role: Role, config: Config, count = 5): string {
  try {
    return readFileSync(logFile(role, config), 'utf8').trimEnd().split('\n').slice(-count).join('\n');
  } catch {
    return '';
  }
}
