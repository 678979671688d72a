import { existsSync, mkdirSync } from 'node:fs';
import { type Clock, type Log, UmiakError } from '#base/index.ts';
import { lockFileWhenFree } from '#linux/lock.ts';
import { type Config, pathsOf, type Role } from './config.ts';
import { ControlSocket, stateNow } from './control-socket.ts';
import { MemoryReturn } from './memory-return.ts';
import { PeerKeeper } from './peer-keeper.ts';
import { LOOKS_AFTER_PEER, STARTED_BY_PEER, startRole } from './processes.ts';
import { VERSION } from './version.ts';

export interface OpenRoleOptions {
  role: Role;
  config: Config;
  clock: Clock;
  log: Log;
  /** Ends the process. */
  signal: AbortSignal;
  /** Gets what is opened, which ends last. */
  stack: AsyncDisposableStack;
}

const PATIENCE_MS = 5_000;

/**
 * What server and agent begin with: the instance's directories, the role's lock, its control socket, and an eye on its memory and on the
 * other. @throws `Conflict`
 */
export async function openRole({ role, config, clock, log, signal, stack }: OpenRoleOptions): Promise<ControlSocket> {
  const paths = pathsOf(config);
  const peer = role === 'server' ? 'agent' : 'server';
  await requireWanted(role, paths.control(peer));
  for (const directory of [config.dataDir, config.runDir, paths.logs]) mkdirSync(directory, { recursive: true, mode: 0o755 });
  // A lock that nobody answers for is a dying process's, or of one that is about to listen.
  const patienceMs = (await stateNow(paths.control(role))) ? 0 : PATIENCE_MS;
  stack.use(await lockFileWhenFree(paths.lock(role), `the ${role} of instance ${config.name}`, patienceMs));
  await requireWanted(role, paths.control(peer));
  const control = stack.use(await ControlSocket.open(paths.control(role), { role, pid: process.pid, version: VERSION, state: 'starting' }));
  stack.use(new MemoryReturn({ clock }));
  if (process.env[LOOKS_AFTER_PEER]) {
    const respawn = () => startRole(peer, config, { byPeer: true });
    stack.use(new PeerKeeper({ socket: paths.control(peer), respawn, signal, clock, log }));
  }
  return control;
}

/**
 * A process that its peer started anew goes no further when the peer was stopped meanwhile: the instance is being taken down. One that was
 * killed leaves its socket behind, one that was stopped does not. @throws `Conflict`
 */
async function requireWanted(role: Role, peerSocket: string): Promise<void> {
  if (!process.env[STARTED_BY_PEER]) return;
  if (existsSync(peerSocket) && (await stateNow(peerSocket))?.state !== 'stopping') return;
  throw new UmiakError('Conflict', `the ${role} is not wanted any more: who started it was stopped`);
}

/** A role's life: until it is told to stop. Here, so that neither process loads the other's parts. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => (signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true })));
}
