import { UmiakError } from '#base/errors.ts';
import { pathOf } from '#client/index.ts';
import { Pod } from '#kinds/pod.ts';
import type { StreamStatus } from '#wire/websocket-channels.ts';
import { dialChannels } from '#wire/websocket-channels-client.ts';
import type { Cluster } from './cluster.ts';
import { rawTerminal, type Streams } from './terminal.ts';

export interface ExecOptions {
  namespace: string;
  container?: string | undefined;
  /** Passes stdin on. */
  isInteractive?: boolean;
  /** A terminal on the other side, and this one raw meanwhile. */
  hasTerminal?: boolean;
  signal?: AbortSignal;
}

/** `umiak exec`: runs a command in a container. @returns its exit code */
export async function execCommand(
  cluster: Cluster,
  streams: Streams,
  pod: string,
  command: string[],
  options: ExecOptions,
): Promise<number> {
  const { isInteractive = false, hasTerminal = false, signal } = options;
  const { stdin, stdout, stderr } = streams;
  if (hasTerminal && isInteractive && !stdin.isTTY)
    throw new UmiakError('BadRequest', 'stdin is not a terminal', { hint: 'Leave out -t.' });
  const channels = await dialChannels(new URL(execPath(pod, command, options), cluster.server), {
    tls: cluster.tls,
    headers: cluster.headers,
    ...(signal ? { signal } : {}),
  });
  const resize = () => channels.resize({ width: stdout.columns ?? 80, height: stdout.rows ?? 24 });
  using _raw = hasTerminal && isInteractive ? rawTerminal(streams) : undefined;
  try {
    if (hasTerminal) {
      resize();
      stdout.on('resize', resize);
    }
    if (isInteractive) stdin.pipe(channels.stdin);
    channels.stdout.pipe(stdout, { end: false });
    channels.stderr.pipe(stderr, { end: false });
    return exitCodeOf(await channels.status);
  } finally {
    stdout.off('resize', resize);
    stdin.unpipe(channels.stdin);
    stdin.pause();
    channels.close();
  }
}

/** `/api/v1/namespaces/x/pods/y/exec?…` */
export function execPath(
  pod: string,
  command: readonly string[],
  { namespace, container, isInteractive, hasTerminal }: ExecOptions,
): string {
  const query = new URLSearchParams(command.map(word => ['command', word]));
  if (container) query.set('container', container);
  if (isInteractive) query.set('stdin', 'true');
  query.set('stdout', 'true');
  // A terminal has one stream for both.
  query.set(hasTerminal ? 'tty' : 'stderr', 'true');
  return `${pathOf(Pod, { namespace, name: pod })}/exec?${query}`;
}

/** The exit code in a session's final status. @throws when the command did not run, or nobody knows how it ended */
export function exitCodeOf(status: StreamStatus | undefined): number {
  if (!status) throw new UmiakError('ServiceUnavailable', 'the connection ended before the command did');
  if (status.status === 'Success') return 0;
  const code = status.details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message;
  if (status.reason === 'NonZeroExitCode' && code !== undefined && /^\d+$/.test(code)) return Number(code);
  throw new UmiakError('InternalError', status.message ?? 'the command could not be run');
}
