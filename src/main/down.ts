import { existsSync, rmSync } from 'node:fs';
import { createLog, messageOf, systemClock } from '#base/index.ts';
import { removeInstance } from '#engine/remove-instance.ts';
import { lockFileWhenFree } from '#linux/lock.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import { removeNetwork } from '#net/remove-network.ts';
import { startMachine } from './agent.ts';
import { type Config, pathsOf } from './config.ts';
import { whenState } from './control-socket.ts';
import { END_MS, endRole } from './end-role.ts';

export interface DownOptions {
  /** Stop the containers too, and leave nothing of the instance but its data. */
  containers?: boolean;
  /** What containers get between their stop signal and SIGKILL. Default: 10 s. */
  graceMs?: number;
  say?: (line: string) => void;
}

const GRACE_MS = 10_000;

/** Ends server and agent; containers go on unless they are to end too. Ending what does not run is no failure. */
export async function down(config: Config, { containers = false, graceMs = GRACE_MS, say = () => {} }: DownOptions = {}): Promise<void> {
  using _locks = await endRoles(config, say);
  if (!containers) return;
  say('stopping containers …');
  await stopContainers(config, graceMs);
  const { name: instance, dataDir, runDir } = config;
  await removeInstance({ instance, dataDir, runDir });
  // What the node mounted for volumes: memory, subPaths.
  unmountBelow(pathsOf(config).volumes);
  // File systems that a killed build was making.
  unmountBelow(`${dataDir}/builder`);
  await removeNetwork({ instance, runDir });
  const { KernelChangeJournal } = await import('#linux/kernel-changes.ts');
  await new KernelChangeJournal({ holder: instance }).undoAll();
  rmSync(runDir, { recursive: true, force: true });
}

/** Ends both and keeps them from being started: one that was about to start the other when it was told to end may have done so. */
async function endRoles(config: Config, say: (line: string) => void): Promise<Disposable> {
  using locks = new DisposableStack();
  // Without it nothing of the instance runs, and `down` leaves nothing behind.
  if (!existsSync(config.runDir)) return locks.move();
  for (const role of ['server', 'agent'] as const) {
    const end = () => endRole({ role, config, say });
    await end();
    const stop = new AbortController();
    // Who holds the lock still, or already, is ended as soon as it listens.
    const ending = whenState(pathsOf(config).control(role), {
      accept: () => true,
      signal: AbortSignal.any([stop.signal, AbortSignal.timeout(END_MS)]),
    })
      .then(end)
      .catch(() => {});
    locks.use(await lockFileWhenFree(pathsOf(config).lock(role), `the ${role} of instance ${config.name}`, 2 * END_MS));
    stop.abort();
    await ending;
  }
  return locks.move();
}

/** Every container gets its stop signal and a grace; what is left afterwards `removeInstance` kills. */
async function stopContainers(config: Config, graceMs: number): Promise<void> {
  const log = createLog({ part: 'down', level: 'warn' });
  try {
    await using stack = new AsyncDisposableStack();
    const { engine } = await startMachine({ config, clock: systemClock, log, stack });
    const running = engine.containers().filter(({ state }) => state === 'running');
    await Promise.allSettled(running.map(({ id }) => engine.stopContainer(id, { graceMs })));
    await Promise.allSettled(engine.sandboxes().map(({ id }) => engine.stopSandbox(id)));
  } catch (error) {
    log.warn('containers could not be stopped gently', { error: messageOf(error) });
  }
}
