import { pipeline } from 'node:stream/promises';
import { pathOf } from '#client/index.ts';
import { Pod } from '#kinds/pod.ts';
import type { Cluster } from './cluster.ts';
import type { Streams } from './terminal.ts';

export interface LogsOptions {
  namespace: string;
  container?: string | undefined;
  isFollowing?: boolean;
  /** The last lines only. */
  tail?: number | undefined;
  /** Of the container's life before this one. */
  isPrevious?: boolean;
  hasTimestamps?: boolean;
  signal?: AbortSignal;
}

/** `umiak logs`: what a container wrote, as it wrote it. */
export async function printLogs(cluster: Cluster, { stdout }: Pick<Streams, 'stdout'>, pod: string, options: LogsOptions): Promise<void> {
  const { signal } = options;
  try {
    const body = await cluster.open(logPath(pod, options), signal);
    await pipeline(body, stdout, { end: false, ...(signal ? { signal } : {}) });
  } catch (error) {
    // A reader who has seen enough (`| head`, Ctrl-C) is no failure.
    if (signal?.aborted || (error as NodeJS.ErrnoException).code === 'EPIPE') return;
    throw error;
  }
}

/** `/api/v1/namespaces/x/pods/y/log?…` */
export function logPath(pod: string, { namespace, container, isFollowing, tail, isPrevious, hasTimestamps }: LogsOptions): string {
  const query = new URLSearchParams({
    ...(container ? { container } : {}),
    ...(isFollowing ? { follow: 'true' } : {}),
    ...(tail !== undefined ? { tailLines: String(tail) } : {}),
    ...(isPrevious ? { previous: 'true' } : {}),
    ...(hasTimestamps ? { timestamps: 'true' } : {}),
  }).toString();
  return `${pathOf(Pod, { namespace, name: pod })}/log${query ? `?${query}` : ''}`;
}
