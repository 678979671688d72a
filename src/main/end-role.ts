import { type Config, pathsOf, type Role } from './config.ts';
import { listenTo, type ProcessState } from './control-socket.ts';

export interface EndRoleOptions {
  role: Role;
  config: Config;
  /** Whether that process is meant. Default: whoever is there. */
  isMeant?: (state: ProcessState) => boolean;
  say: (line: string) => void;
}

/** What a process gets to end in before it is killed. */
export const END_MS = 20_000;

/** Tells a role's process to stop and waits for its end; nothing happens when there is none. */
export async function endRole({ role, config, isMeant = () => true, say }: EndRoleOptions): Promise<void> {
  let found: ProcessState | undefined;
  const known = Promise.withResolvers<void>();
  const stop = new AbortController();
  const listening = await listenTo(
    pathsOf(config).control(role),
    state => {
      found ??= state;
      known.resolve();
    },
    stop.signal,
  );
  if (!listening) return;
  await Promise.race([known.promise, listening.ended]);
  if (found === undefined) return;
  if (!isMeant(found)) return stop.abort();
  const { pid } = found;
  say(`stopping the ${role} …`);
  process.kill(pid, 'SIGTERM');
  const deadline = setTimeout(() => {
    say(`the ${role} does not end; it is killed`);
    process.kill(pid, 'SIGKILL');
  }, END_MS);
  await listening.ended;
  clearTimeout(deadline);
}
